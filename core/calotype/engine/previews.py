"""Previews: latents to RGB by one small matrix, fitted to the model's own autoencoder. Microseconds, no decoding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from calotype.events import Preview


@dataclass(frozen=True)
class Projection:
    """rgb = latents · matrix + offset, for every latent by itself. matrix is (C, 3), offset (3,), RGB in 0 … 1."""

    matrix: torch.Tensor
    offset: torch.Tensor

    @classmethod
    @torch.inference_mode()
    def fit(cls, decode: Callable[[torch.Tensor], torch.Tensor], channels: int, scale: int) -> Projection:
        """Least squares over one decoded patchwork of random latents, each 4×4 of one value."""
        noise = torch.randn(1, channels, 6, 6, generator=torch.Generator().manual_seed(0))
        latents = functional.interpolate(noise, scale_factor=4, mode="nearest")
        pixels = functional.avg_pool2d(decode(latents[0]).unsqueeze(0), scale)
        inputs = latents[0].flatten(1).T
        inputs = torch.cat([inputs, torch.ones(len(inputs), 1)], dim=1)
        solution = torch.linalg.lstsq(inputs, pixels[0].flatten(1).T, driver="gelsd").solution
        return cls(solution[:-1].contiguous(), solution[-1].contiguous())

    def rgb(self, latents: torch.Tensor) -> np.ndarray:
        """(C, H, W) latents → (H, W, 3) uint8."""
        pixels = torch.einsum("chw,cd->hwd", latents, self.matrix) + self.offset
        return (pixels.clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def montage(tiles: list[np.ndarray]) -> Preview:
    """The previews of a job's pictures as one, in rows; places without a picture are white."""
    columns = int(np.ceil(np.sqrt(len(tiles))))
    height, width = tiles[0].shape[:2]
    rows = -(-len(tiles) // columns)
    canvas = np.full((rows * height, columns * width, 3), 255, dtype=np.uint8)
    for place, tile in enumerate(tiles):
        y, x = divmod(place, columns)
        canvas[y * height : (y + 1) * height, x * width : (x + 1) * width] = tile
    return Preview(canvas)
