"""T5's encoder (Raffel et al. 2020): a prompt as one sequence of a fixed length. Weights of words are not applied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from calotype.emphasis import plain


@dataclass(eq=False)
class T5:
    """A tokenizer and its encoder, which read ``length`` tokens."""

    tokenizer: Any
    encoder: Any
    length: int
    device: torch.device

    @torch.inference_mode()
    def encode(self, text: str) -> tuple[torch.Tensor, int]:
        """(length, D) hidden states, float32, on the CPU, and how many tokens at the end of the prompt did not fit."""
        words = plain(text)
        given = self.tokenizer(
            words, padding="max_length", max_length=self.length, truncation=True, return_tensors="pt"
        ).input_ids
        whole = len(self.tokenizer(words, verbose=False).input_ids)
        hidden: torch.Tensor = self.encoder(given.to(self.device))[0][0]
        return hidden.float().cpu(), max(0, whole - self.length)
