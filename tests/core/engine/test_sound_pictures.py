"""Every bundled sampler and schedule gives a sound picture with the embedded model: what was asked for, on a ground."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from calotype.plugins.registry import Registry

BUNDLED = Registry.discover(())
PROMPTS = {"apple": (0, (1, 2)), "red heart": (0, (1, 2)), "frog": (1, (0, 2))}
"""Which colour rules where the thing is: the index of the channel, and those of the others."""


@pytest.mark.parametrize("schedule", sorted(BUNDLED.schedules))
@pytest.mark.parametrize("sampler", sorted(BUNDLED.samplers))
def test_a_sound_picture(bench: Any, sampler: str, schedule: str) -> None:
    for prompt, (rules, others) in PROMPTS.items():
        fields = {"prompt": prompt, "seed": 11, "steps": 20, "options": {"upscale": False}}
        picture = _pixels(bench.alone(**fields, sampler=sampler, schedule=schedule)[0])
        corners = picture[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert corners.min() > 225, f"{prompt}: the ground is not clean"
        thing = picture[picture.min(-1) < 200]  # what is not ground
        assert 0.15 < len(thing) / picture[..., 0].size < 0.9, f"{prompt}: nothing there, or everywhere"
        assert all((thing[:, rules] - thing[:, other]).mean() > 25 for other in others), f"{prompt}: of another colour"
        rough = np.abs(np.diff(picture, axis=0)).mean() + np.abs(np.diff(picture, axis=1)).mean()
        assert rough < 45, f"{prompt}: noise"  # pure noise has about 170


def _pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(np.float32)
