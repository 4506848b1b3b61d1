"""What the flow families have in common: a transformer in latent space that was trained on straight paths."""

from __future__ import annotations

from collections.abc import Iterator
from math import exp
from typing import Any, Final

import torch
from torch import nn

from calotype.engine.levels import FlowLevels
from calotype.families import autoencoder
from calotype.families.laws import RectifiedFlow
from calotype.families.network import Network, Shape

_SHIFTS: Final = (0.5, 1.15, 256, 4096)


class FlowNetwork(Network):
    """``scheduler`` is what ``scheduler_config.json`` holds."""

    def __init__(self, transformer: Any, vae: Any, scheduler: dict[str, Any], device: torch.device) -> None:
        self.transformer, self.vae, self.device = transformer, vae, device
        self.law = RectifiedFlow()
        self._scheduler = scheduler

    @property
    def denoiser(self) -> nn.Module:  # type: ignore[override]
        """See :class:`Network`."""
        transformer: nn.Module = self.transformer
        return transformer

    def modules(self) -> Iterator[nn.Module]:
        """See :class:`Network`."""
        yield from (self.transformer, self.vae)

    def levels(self, shape: Shape) -> FlowLevels:
        """Shifted towards noise, by the picture's size where it was trained so (Esser et al. 2024, section 5.3.2)."""
        found = self._scheduler
        if not found.get("use_dynamic_shifting"):
            return FlowLevels(float(found.get("shift", 1.0)))
        low, high, short, long = (
            found.get(name, default)
            for name, default in zip(
                ("base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len"), _SHIFTS, strict=True
            )
        )
        tokens = (shape[1] // 2) * (shape[2] // 2)
        return FlowLevels(exp(low + (high - low) * (tokens - short) / (long - short)))

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """See :class:`Network`."""
        return autoencoder.decode(self.vae, latents, self.device)

    def encode(self, rgb: torch.Tensor) -> torch.Tensor:
        """See :class:`Network`."""
        return autoencoder.encode(self.vae, rgb, self.device)
