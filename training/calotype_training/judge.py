"""The judge: a small classifier that learns from real drawings only what is to be seen, in which colour, wearing what.

It knows every drawing, those that the generator never saw (style "") too. It looks at a picture through the linear map
of latents.py, which keeps 29 dB of it, with a little noise at times: so it goes by shapes and not by crispness.
"""

from __future__ import annotations

import random
import time
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.functional import cross_entropy

from calotype_training.captions import Scene
from calotype_training.checkpoints import load_checkpoint, read_checkpoint, save_checkpoint
from calotype_training.concepts import ACCESSORIES, COLOURS
from calotype_training.dataset import Dataset
from calotype_training.errors import TrainingError
from calotype_training.latents import CHANNELS, LatentMap, as_tensor, latent_map
from calotype_training.learning import learn
from calotype_training.pictures import Composer
from calotype_training.progress import Progress

_BATCH: Final = 64
_RATE: Final = 2e-3
_FEATURES: Final = 192
_PAIRS: Final = 0.15
"""Share of pictures with two things side by side."""


class Verdict(NamedTuple):
    """What the judge sees in N pictures."""

    concepts: torch.Tensor
    """(N, concepts) logits."""
    colours: torch.Tensor
    """(N, 11) logits; the last is: as it comes."""
    accessories: torch.Tensor
    """(N, 6) logits; the last is: none."""
    features: torch.Tensor
    """(N, 192) before the last layer."""


class Judge(nn.Module):
    """Residual convolutions over latents, 16 × 16 → 4 × 4, then three heads."""

    def __init__(self, concepts: int) -> None:
        super().__init__()
        widths = (CHANNELS, 48, 96, _FEATURES)
        self.stages = nn.ModuleList(_Stage(a, b, 1 if a == CHANNELS else 2) for a, b in pairwise(widths))
        self.concepts = nn.Linear(_FEATURES, concepts)
        self.colours = nn.Linear(_FEATURES, len(COLOURS) + 1)
        self.accessories = nn.Linear(_FEATURES, len(ACCESSORIES) + 1)

    def forward(self, latents: torch.Tensor) -> Verdict:
        """(N, 12, 16, 16) latents of pictures by the linear map."""
        x = latents
        for stage in self.stages:
            x = stage(x)
        features = x.mean((2, 3))
        kept = functional.dropout(features, 0.2, self.training)
        return Verdict(self.concepts(kept), self.colours(kept), self.accessories(kept), features)


class _Stage(nn.Module):
    def __init__(self, width: int, out: int, stride: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(width, out, 3, stride=stride, padding=1)
        self.one, self.two = (nn.Conv2d(out, out, 3, padding=1) for _ in range(2))
        self.norms = nn.ModuleList(nn.GroupNorm(8, out) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.silu(self.norms[0](self.down(x)))
        y = functional.silu(self.norms[1](self.one(x)))
        return functional.silu(x + self.norms[2](self.two(y)))


class RealPictures:
    """Labelled pictures of real drawings, put together by the composer, held-out combinations among them."""

    def __init__(self, dataset: Dataset, home: Path, seed: int) -> None:
        self._rng = random.Random(seed)
        self._composer = Composer(dataset, self._rng, every_drawing=True)
        self._latents = latent_map(dataset, home)
        self._numbers = {concept.name: number for number, concept in enumerate(dataset.concepts)}
        self._wearers = self._composer.captions.wearers

    def batch(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """(N, 12, 16, 16) latents of pictures and (N, 4) labels: concept, the other one, colour, accessory.

        Of a single thing both concepts are the same.
        """
        pictures, labels = [], []
        for _ in range(count):
            scene = self._scene()
            pictures.append(self._composer.draw(scene))
            colour = COLOURS.index(scene.colour) if scene.colour else len(COLOURS)
            worn = list(ACCESSORIES).index(scene.accessory) if scene.accessory else len(ACCESSORIES)
            concepts = [self._numbers[each.name] for each in (scene.concept, scene.other or scene.concept)]
            labels.append((*concepts, colour, worn))
        return self._softened(as_tensor(pictures)), torch.tensor(labels)

    def _scene(self) -> Scene:
        rng = self._rng
        if rng.random() < _PAIRS:
            one, other = rng.sample(self._composer.captions.concepts, 2)
            return Scene(one, other=other)
        accessory = rng.choice(list(ACCESSORIES)) if rng.random() < 0.15 else ""
        concept = rng.choice(self._wearers if accessory else self._composer.captions.concepts)
        colour = rng.choice(COLOURS) if rng.random() < 0.3 else ""
        ground = rng.choice([each for each in COLOURS if each != colour]) if rng.random() < 0.1 else ""
        return Scene(concept, colour, ground, accessory)

    def _softened(self, pictures: torch.Tensor) -> torch.Tensor:
        """As latents; half of them with a little of the noise that a sampler may leave."""
        latents = self._latents.encode(pictures)
        noise = torch.randn_like(latents) * torch.rand(len(latents), 1, 1, 1) * 0.2
        return latents + noise * (torch.rand(len(latents), 1, 1, 1) < 0.5)


def train_judge(dataset: Dataset, home: Path, steps: int) -> Judge:
    """Train the judge, or take the one that is there. Raises :class:`TrainingError`."""
    path = home / "judge.pt"
    torch.manual_seed(41)
    judge = Judge(len(dataset.concepts))
    optimizer = torch.optim.AdamW(judge.parameters(), _RATE, weight_decay=0.02, fused=True)
    begin = load_checkpoint(path, judge, optimizer)
    real = RealPictures(dataset, home, 43 + begin)
    progress, saved, right = Progress("judge", steps, begin), time.monotonic(), 0.0
    for step in range(begin, steps):
        pictures, labels = real.batch(_BATCH)
        with torch.autocast("cpu", torch.bfloat16):
            verdict = judge(pictures)
        loss = sum(0.5 * cross_entropy(verdict.concepts.float(), labels[:, n], label_smoothing=0.05) for n in (0, 1))
        loss = loss + 0.3 * cross_entropy(verdict.colours.float(), labels[:, 2])
        loss = loss + 0.3 * cross_entropy(verdict.accessories.float(), labels[:, 3])
        learn("judge", loss, judge, optimizer, step, _RATE * min(1, (step + 1) / 100, 2 * (steps - step) / steps))
        right = 0.98 * right + 0.02 * float(
            (verdict.concepts.argmax(1)[:, None] == labels[:, :2]).any(1).float().mean()
        )
        progress.show(step + 1, f"{right:.1%} right")
        if time.monotonic() - saved > 60 or step + 1 == steps:
            save_checkpoint(path, judge, optimizer, step + 1, concepts=[each.name for each in dataset.concepts])
            saved = time.monotonic()
    return load_judge(dataset, home)


def load_judge(dataset: Dataset, home: Path) -> Judge:
    """The trained judge. Raises :class:`TrainingError` if there is none for these concepts."""
    state = read_checkpoint(home / "judge.pt")
    if state is None or state["concepts"] != [each.name for each in dataset.concepts]:
        raise TrainingError(
            f"{home / 'judge.pt'} is missing or knows other concepts; remove it, 'make evaluate' makes one"
        )
    judge = Judge(len(dataset.concepts))
    judge.load_state_dict(state["model"])
    return judge.eval()


@torch.inference_mode()
def look(judge: Judge, latents: LatentMap, pictures: np.ndarray) -> Verdict:
    """The judge's view of (N, 64, 64, 3) uint8 pictures."""
    parts = np.array_split(pictures, max(1, len(pictures) // 64))
    seen = [judge(latents.encode(as_tensor(list(part)))) for part in parts]
    return Verdict(*(torch.cat(each) for each in zip(*seen, strict=True)))
