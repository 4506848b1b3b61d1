"""A training home in which everything was trained a little, and a clock that is the same on any machine."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import torch

from calotype_training import unet
from calotype_training.dataset import Dataset
from calotype_training.latents import LatentMap
from calotype_training.text import TextEncoder

CHANNELS = (16, 32, 32)


@dataclass(frozen=True)
class House:
    """A training home in which everything was trained a little."""

    home: Path
    dataset: Dataset
    latents: LatentMap

    def text(self) -> TextEncoder:
        """Its text encoder."""
        return TextEncoder(self.home / "text", torch.device("cpu"))

    def worker(self, plan: unet.Plan) -> unet.Worker:
        """One process of the U-Net's training, here."""
        return unet.Worker(0, 1, plan, self.dataset, self.latents, self.text(), torch.device("cpu"))


def ticking(seconds: float = 1.0) -> SimpleNamespace:
    """In place of the module ``time``: every look at the clock takes a second, so a run is as long on any machine."""
    counter = itertools.count()
    return SimpleNamespace(monotonic=lambda: next(counter) * seconds)
