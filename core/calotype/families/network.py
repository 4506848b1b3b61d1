"""Network: a loaded checkpoint, as the engine runs it. Every family fills this in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import torch
from torch import nn

from calotype.families.adapters import Adapters
from calotype.families.clip import Clip
from calotype.families.laws import Law
from calotype.sampling import NoiseLevels

Shape = tuple[int, int, int]
"""(C, H, W) of latents."""
Inputs: TypeAlias = Mapping[str, torch.Tensor]
"""What one row of a model call takes beside x and t, by name, on the CPU: ``hidden`` (T, D) for cross-attention,
``pooled`` (P,), … A call stacks those of its rows, so their shapes must agree: they are part of the batching key."""
Signature = tuple[tuple[str, tuple[int, ...]], ...]


def signature(inputs: Inputs) -> Signature:
    """Names and shapes of a row's inputs: rows of one signature can share a call."""
    return tuple((name, tuple(inputs[name].shape)) for name in sorted(inputs))


@dataclass(frozen=True)
class Prompt:
    """A text as inputs of one row. ``tokens_lost`` tokens at its end did not fit."""

    inputs: Inputs
    tokens_lost: int = 0
    windows: int = 1
    """How many times the text encoder's window it is long."""

    @property
    def hidden(self) -> torch.Tensor:
        """(windows × T, D), float32, on the CPU, T the tokens of the text encoder's window."""
        return self.inputs["hidden"]


class Network(ABC):
    """Shared by every job; never changed by one. All tensors that it is given or gives are float32, on the CPU."""

    law: Law
    """What its output says of a noisy picture."""
    denoiser: nn.Module
    device: torch.device

    @abstractmethod
    def modules(self) -> Iterator[nn.Module]:
        """Everything that takes memory."""

    @abstractmethod
    def levels(self, shape: Shape) -> NoiseLevels:
        """The noise levels it was trained on, for latents of a shape."""

    @abstractmethod
    def encode_text(self, text: str) -> Prompt:
        """A prompt as long as it needs, or as the network takes. One window at a time, so that its bits never depend on
        another's.
        """

    def encode_negative(self, text: str) -> Prompt:
        """What guidance leads away from."""
        return self.encode_text(text)

    def filled(self, prompt: Prompt, windows: int) -> Prompt:
        """A prompt filled up to so many windows with the empty one: the rows of one call are of the same length."""
        if prompt.windows != windows:
            raise ValueError(f"prompts of this network have one window, not {windows}")
        return prompt

    def conditions(self, width: int, height: int, guidance: float) -> Inputs:
        """Inputs of a row that do not depend on its prompt."""
        return {}

    @abstractmethod
    def predict(self, x: torch.Tensor, t: torch.Tensor, inputs: Inputs) -> torch.Tensor:
        """One call: (N, C, H, W), (N,) training steps, inputs with a leading N → (N, C, H, W)."""

    @abstractmethod
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """(C, H, W) latents → (3, H, W) RGB in 0 … 1. One picture at a time, to stay exact."""

    @abstractmethod
    def encode(self, rgb: torch.Tensor) -> torch.Tensor:
        """(3, H, W) RGB in 0 … 1 → (C, H, W) latents: the inverse of :meth:`decode`. One picture at a time."""

    def readers(self) -> Mapping[str, Clip]:
        """Text encoders that LoRA files may change, as ``text_encoder`` and ``text_encoder_2``."""
        return {}

    @cached_property
    def adapters(self) -> Adapters:
        """What LoRA files add to it."""
        config = getattr(self.denoiser, "config", {})
        layers = config.get("layers_per_block")
        parts = {"denoiser": self.denoiser, **{name: clip.encoder for name, clip in self.readers().items()}}
        adapters = Adapters(parts, layers if isinstance(layers, int) else None)
        for clip in self.readers().values():
            clip.under = adapters.here
        return adapters

    def pooled(self) -> Callable[[Sequence[str]], torch.Tensor] | None:
        """Phrases → (N, D) vectors of their meaning, for hints; None if it has none that are fit."""
        return None
