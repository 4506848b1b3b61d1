"""Text to conditioning: what the prompt is to the U-Net."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch

from calotype.emphasis import plain
from calotype.engine.chunks import Token, split, tokens_of
from calotype.engine.hints import advise
from calotype.engine.models import LoadedModel

_CACHED: Final = 256
"""Windows of text whose conditioning is remembered: 60 MB for Stable Diffusion 1.5."""


@dataclass(frozen=True)
class Conditioning:
    """``hidden`` is (windows × T, D), float32, on the CPU, T the tokens of the text encoder's window.

    ``tokens_lost`` tokens at the end of the prompt did not fit.
    """

    hidden: torch.Tensor
    tokens_lost: int = 0
    windows: int = 1


class TextEncoder:
    """Encodes one window of text at a time, so that its bits never depend on another's; remembers the latest prompts.

    Not for several threads at once.
    """

    def __init__(self) -> None:
        self._cache: OrderedDict[tuple[str, str], Conditioning] = OrderedDict()

    def pair(self, model: LoadedModel, prompt: str, negative: str) -> tuple[Conditioning, Conditioning]:
        """Prompt and negative prompt as the two rows of one model call: of the same length.

        The shorter one is filled up with windows of the empty prompt, which is what no guidance looks like. The
        length is part of the key by which runs share calls: nobody is filled up for somebody else's long prompt, so
        a picture stays the same in any company and a short prompt costs no more than before.
        """
        found = self.encode(model, prompt), self.encode(model, negative)
        windows = max(each.windows for each in found)
        first, second = (self._filled(model, each, windows) for each in found)
        return first, second

    def encode(self, model: LoadedModel, text: str) -> Conditioning:
        """The conditioning of a prompt by a model's own tokenizer and CLIP text encoder, as long as it needs.

        A prompt beyond the window is read in several windows with start and end tokens of their own, whose hidden
        states are put one after another, as Automatic1111's web UI has introduced it. Cross-attention takes any length.
        """
        key = (model.sha256, text)
        if key not in self._cache:
            self._cache[key] = self._encode(model, text)
            while len(self._cache) > 1 and sum(each.windows for each in self._cache.values()) > _CACHED:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return self._cache[key]

    def _filled(self, model: LoadedModel, found: Conditioning, windows: int) -> Conditioning:
        if found.windows == windows:
            return found
        empty = [self.encode(model, "").hidden] * (windows - found.windows)
        return replace(found, hidden=torch.cat([found.hidden, *empty]), windows=windows)

    def _encode(self, model: LoadedModel, text: str) -> Conditioning:
        pieces, lost = split(tokens_of(model.tokenizer, text), model.info.tokens - 2)
        hidden = [self._window(model, piece) for piece in pieces]
        return Conditioning(torch.cat(hidden) if len(hidden) > 1 else hidden[0], lost, len(hidden))

    def _window(self, model: LoadedModel, tokens: Sequence[Token]) -> torch.Tensor:
        """(T, D) hidden states of one window; those of weighted tokens towards or away from the empty prompt's.

        A token's state becomes e + w · (h − e), where e is what stands at its place for the empty prompt: 0 takes the
        word's own part away, 1 leaves it, more than 1 goes on in its direction (ComfyUI's rule, linear extrapolation
        as in classifier-free guidance). The other known rule, Automatic1111's, scales h by w and then the whole to
        its old mean: that mean may lie near zero, and every other word of the prompt changes as well. Here they keep
        their bits; so a prompt without weights has those that it always had.
        """
        hidden = _hidden(model, [token.id for token in tokens])
        weights = torch.ones(hidden.shape[0], 1)
        weights[1 : len(tokens) + 1, 0] = torch.tensor([token.weight for token in tokens])
        if (weights == 1).all():
            return hidden
        empty = self.encode(model, "").hidden
        return torch.where(weights == 1, hidden, empty + weights * (hidden - empty))


def notes(model: LoadedModel, prompt: Conditioning, text: str, job_id: str) -> tuple[str, ...]:
    """What can be said of a prompt's pictures before they are there. Does not raise; the log names the job."""
    lost = f"the last {prompt.tokens_lost} tokens of the prompt did not fit and were not read"
    hint = advise(model.hints, plain(text), job_id)
    return tuple(filter(None, (lost if prompt.tokens_lost else None, hint)))


@torch.inference_mode()
def _hidden(model: LoadedModel, numbers: Sequence[int]) -> torch.Tensor:
    """(T, D) hidden states for the numbers of at most T - 2 tokens, put between start and end and padded to T."""
    tokenizer = model.tokenizer
    framed = [tokenizer.bos_token_id, *numbers, tokenizer.eos_token_id]
    padded = framed + [tokenizer.pad_token_id] * (model.info.tokens - len(framed))
    hidden: torch.Tensor = model.text_encoder(torch.tensor([padded], device=model.device))[0][0]
    return hidden.float().cpu()
