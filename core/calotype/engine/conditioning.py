"""Text to conditioning: what the prompt is to the U-Net."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import torch

from calotype.engine.hints import advise
from calotype.engine.models import LoadedModel

_CACHED: Final = 256


@dataclass(frozen=True)
class Conditioning:
    """``hidden`` is (T, D), float32, on the CPU; ``tokens_lost`` tokens at the end of the prompt did not fit."""

    hidden: torch.Tensor
    tokens_lost: int = 0


class TextEncoder:
    """Encodes one prompt at a time, so that a prompt's bits never depend on another's; remembers the latest ones."""

    def __init__(self) -> None:
        self._cache: OrderedDict[tuple[str, str], Conditioning] = OrderedDict()

    def encode(self, model: LoadedModel, text: str) -> Conditioning:
        """The conditioning of a prompt by a model's own tokenizer and CLIP text encoder."""
        key = (model.sha256, text)
        if key not in self._cache:
            self._cache[key] = _encode(model, text)
            if len(self._cache) > _CACHED:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return self._cache[key]


def notes(model: LoadedModel, prompt: Conditioning, text: str, job_id: str) -> tuple[str, ...]:
    """What can be said of a prompt's pictures before they are there. Does not raise; the log names the job."""
    lost = f"the last {prompt.tokens_lost} tokens of the prompt did not fit and were not read"
    hint = advise(model.hints, text, job_id)
    return tuple(filter(None, (lost if prompt.tokens_lost else None, hint)))


@torch.inference_mode()
def _encode(model: LoadedModel, text: str) -> Conditioning:
    length = model.info.tokens
    tokens = model.tokenizer(text, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    whole = model.tokenizer(text, truncation=False, verbose=False)["input_ids"]
    hidden = model.text_encoder(tokens["input_ids"].to(model.device))[0][0]
    return Conditioning(hidden.float().cpu(), max(0, len(whole) - length))
