"""The latent space: a fixed linear map, principal components of 4 × 4 patches; so U-Net and autoencoder train apart.

64 × 64 RGB becomes 16 × 16 × 12. A component's spread is divided by its square root: half-way to whitening, so that
fine detail weighs in the loss without becoming as important as the outline.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Final

import numpy as np
import torch

from calotype_training.checkpoints import read_checkpoint, write_state
from calotype_training.dataset import Dataset
from calotype_training.pictures import Composer

CHANNELS: Final = 12
_PATCH: Final = 4
_PICTURES: Final = 4000


class LatentMap:
    """Pictures to latents of about unit variance and back, by matrix."""

    def __init__(self, mean: torch.Tensor, forward: torch.Tensor) -> None:
        self.mean, self.forward = mean, forward
        self.back = torch.linalg.pinv(forward)

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """(N, 3, 64, 64) in -1 … 1 → (N, 12, 16, 16)."""
        n, _, height, width = pictures.shape
        patches = torch.nn.functional.unfold(pictures, _PATCH, stride=_PATCH).transpose(1, 2)
        latents = (patches - self.mean) @ self.forward
        return latents.transpose(1, 2).reshape(n, CHANNELS, height // _PATCH, width // _PATCH)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """(N, 12, 16, 16) → (N, 3, 64, 64): the plain inverse, for sample sheets while the autoencoder is not there."""
        height, width = latents.shape[2:]
        patches = latents.flatten(2).transpose(1, 2) @ self.back + self.mean
        return torch.nn.functional.fold(
            patches.transpose(1, 2), (height * _PATCH, width * _PATCH), _PATCH, stride=_PATCH
        )


def as_tensor(pictures: list[np.ndarray]) -> torch.Tensor:
    """(64, 64, 3) uint8 pictures → (N, 3, 64, 64) float32 in -1 … 1."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def latent_map(dataset: Dataset, home: Path) -> LatentMap:
    """The map, fitted to 4,000 training pictures the first time, kept in ``home``/latents.pt."""
    path = home / "latents.pt"
    kept = read_checkpoint(path)
    if kept is None:
        composer = Composer(dataset, random.Random(7))
        pictures = as_tensor([composer.sample()[0] for _ in range(_PICTURES)])
        patches = torch.nn.functional.unfold(pictures, _PATCH, stride=_PATCH).transpose(1, 2).reshape(-1, 3 * _PATCH**2)
        mean = patches.mean(0)
        values, vectors = torch.linalg.eigh(torch.cov((patches - mean).T.double()))
        chosen = vectors.flip(1)[:, :CHANNELS].float()
        spread = values.flip(0)[:CHANNELS].sqrt().float()
        forward = chosen / spread.sqrt()
        scale = ((patches - mean) @ forward).std()
        kept = {"mean": mean, "forward": forward / scale}
        write_state(path, kept)
    return LatentMap(kept["mean"], kept["forward"])
