"""Every bundled sampler and schedule gives a sound picture with the embedded model: what was asked for, on a ground."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from calotype.plugins.registry import Registry

BUNDLED = Registry.discover(())
PAIRS = sorted({*((each, "normal") for each in BUNDLED.samplers), *(("dpmpp_2m", each) for each in BUNDLED.schedules)})
PROMPTS = {"apple": (0, (1, 2)), "frog": (1, (0, 2))}
"""Which colour rules where the thing is: the index of the channel, and those of the others."""


@pytest.fixture(scope="module")
def asked(request: pytest.FixtureRequest, bench: Any) -> Iterator[tuple[Any, dict[tuple[str, str, str], str]]]:
    """All pictures of the pairs that are tested, asked for at once: in company they take half as long."""
    together = type(bench)(bench.catalog, slots=16)
    own = [item for item in request.session.items if getattr(item, "module", None) is request.module]
    pairs = {item.callspec.params["pair"] for item in own if isinstance(item, pytest.Function)}
    jobs = {
        (*pair, prompt): together.join(
            prompt=prompt, seed=11, steps=20, sampler=pair[0], schedule=pair[1], options={"upscale": False}
        )
        for pair in sorted(pairs)
        for prompt in PROMPTS
    }
    yield together, jobs
    together.host.close()


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_a_sound_picture(asked: tuple[Any, dict[tuple[str, str, str], str]], pair: tuple[str, str]) -> None:
    together, jobs = asked
    for prompt, (rules, others) in PROMPTS.items():
        picture = _pixels(together.pngs(jobs[*pair, prompt], timeout=300)[0])
        corners = picture[[0, 0, -1, -1], [0, -1, 0, -1]]
        assert corners.min() > 225, f"{prompt}: the ground is not clean"
        thing = picture[picture.min(-1) < 200]  # what is not ground
        assert 0.15 < len(thing) / picture[..., 0].size < 0.9, f"{prompt}: nothing there, or everywhere"
        assert all((thing[:, rules] - thing[:, other]).mean() > 25 for other in others), f"{prompt}: of another colour"
        rough = np.abs(np.diff(picture, axis=0)).mean() + np.abs(np.diff(picture, axis=1)).mean()
        assert rough < 45, f"{prompt}: noise"  # pure noise has about 170


def _pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(np.float32)
