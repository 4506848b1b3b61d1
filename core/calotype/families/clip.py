"""CLIP's text encoder (Radford et al. 2021), one window at a time, with weights of words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from calotype.engine.chunks import Token, split, tokens_of


class Encoded(NamedTuple):
    """``hidden`` (windows × T, D) and ``pooled`` (P,) of the first window, float32, on the CPU."""

    hidden: torch.Tensor
    pooled: torch.Tensor
    tokens_lost: int
    windows: int


@dataclass(eq=False)
class Clip:
    """A tokenizer and its encoder. ``penultimate``: the hidden states before the last layer are taken, unnormed."""

    tokenizer: Any
    encoder: Any
    window: int
    """T."""
    device: torch.device
    penultimate: bool = False
    one_window: bool = False
    """What is beyond the first window is not read."""

    under: Callable[[], object] = tuple
    """What else the encoder's output depends on just now."""

    def __post_init__(self) -> None:
        self._empty: tuple[object, torch.Tensor] | None = None

    def encode(self, text: str) -> Encoded:
        """A prompt, as long as it needs.

        One beyond the window is read in several windows with start and end tokens of their own, whose hidden states
        are put one after another, as Automatic1111's web UI has introduced it. Cross-attention takes any length.
        """
        pieces, lost = split(tokens_of(self.tokenizer, text), self.window - 2)
        if self.one_window:
            lost += sum(map(len, pieces[1:]))
            pieces = pieces[:1]
        found = [self._window(piece) for piece in pieces]
        hidden = [each for each, _ in found]
        return Encoded(torch.cat(hidden) if len(hidden) > 1 else hidden[0], found[0][1], lost, len(hidden))

    def filled(self, hidden: torch.Tensor, windows: int) -> torch.Tensor:
        """Up to so many windows with the empty prompt, which is what no guidance looks like."""
        have = hidden.shape[0] // self.window
        return torch.cat([hidden, *[self._nothing()] * (windows - have)]) if have < windows else hidden

    @torch.inference_mode()
    def pooled(self, phrases: Sequence[str]) -> torch.Tensor:
        """(N, D) outputs at the end token, of as many phrases at once."""
        tokens = self.tokenizer(
            list(phrases), padding=True, truncation=True, max_length=self.window, return_tensors="pt"
        )
        pooled: torch.Tensor = self.encoder(tokens["input_ids"].to(self.device)).pooler_output
        return pooled.float().cpu()

    def _window(self, tokens: Sequence[Token]) -> tuple[torch.Tensor, torch.Tensor]:
        """Hidden states of one window; those of weighted tokens towards or away from the empty prompt's.

        A token's state becomes e + w · (h − e), where e is what stands at its place for the empty prompt: 0 takes the
        word's own part away, 1 leaves it, more than 1 goes on in its direction (ComfyUI's rule, linear extrapolation
        as in classifier-free guidance). The other known rule, Automatic1111's, scales h by w and then the whole to
        its old mean: that mean may lie near zero, and every other word of the prompt changes as well. Here they keep
        their bits; so a prompt without weights has those that it always had.
        """
        hidden, pooled = self._run([token.id for token in tokens])
        weights = torch.ones(hidden.shape[0], 1)
        weights[1 : len(tokens) + 1, 0] = torch.tensor([token.weight for token in tokens])
        if (weights == 1).all():
            return hidden, pooled
        empty = self._nothing()
        return torch.where(weights == 1, hidden, empty + weights * (hidden - empty)), pooled

    def _nothing(self) -> torch.Tensor:
        """Hidden states of the empty prompt."""
        under = self.under()
        if self._empty is None or self._empty[0] != under:
            self._empty = under, self._run([])[0]
        return self._empty[1]

    @torch.inference_mode()
    def _run(self, numbers: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """For the numbers of at most T - 2 tokens, put between start and end and padded to T."""
        tokenizer = self.tokenizer
        framed = [tokenizer.bos_token_id, *numbers, tokenizer.eos_token_id]
        padded = framed + [tokenizer.pad_token_id] * (self.window - len(framed))
        found = self.encoder(torch.tensor([padded], device=self.device), output_hidden_states=self.penultimate)
        hidden = found.hidden_states[-2] if self.penultimate else found.last_hidden_state
        pooled = found.text_embeds if hasattr(found, "text_embeds") else found.pooler_output
        return hidden[0].float().cpu(), pooled[0].float().cpu()
