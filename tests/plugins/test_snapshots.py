"""What samplers and schedules gave when they were written down: a seed's picture must not change unnoticed.

``SNAPSHOTS=write`` writes ``snapshots.json`` anew. A change there means that old seeds give other pictures: say so in
CHANGELOG.md.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor

from calotype.plugins.registry import Registry
from calotype.plugins.testing import drawn, drive, spaced, stable_diffusion_levels

FILE = Path(__file__).with_name("snapshots.json")
WRITE = os.environ.get("SNAPSHOTS") == "write"
REGISTRY = Registry.discover()
MODELS = {
    name: stable_diffusion_levels(zero_terminal_snr=name == "zero_terminal_snr")
    for name in ("sd1", "zero_terminal_snr")
}


def denoised(x: Tensor, sigma: float) -> Tensor:
    """Nonlinear, and mixes positions."""
    return torch.tanh((0.7 * x + 0.3 * x.roll(1, -1)) / (0.5 + sigma)) / (0.5 + 0.2 * sigma)


def sampled(name: str) -> list[float]:
    """The first numbers that 6 steps end in."""
    sampler = REGISTRY.samplers[name]
    x = drive(sampler, drawn(14.6, (4, 4, 4)), spaced(6, 14.6), denoised, seed=3).x
    return [round(float(number), 6) for number in x.flatten()[:6]]


def scheduled(name: str) -> dict[str, list[float]]:
    schedule = REGISTRY.schedules[name]
    return {
        model: [float(f"{sigma:.7g}") for sigma in schedule.sigmas(7, levels, schedule.Params())]
        for model, levels in MODELS.items()
    }


@pytest.fixture(scope="module")
def known() -> dict[str, dict[str, object]]:
    if WRITE:
        found = {
            "samplers": {name: sampled(name) for name in sorted(REGISTRY.samplers)},
            "schedules": {name: scheduled(name) for name in sorted(REGISTRY.schedules)},
        }
        text = json.dumps(found, indent=1)
        FILE.write_text(text + "\n", "utf-8")
    return json.loads(FILE.read_text("utf-8"))


def test_every_one_is_written_down(known: dict[str, dict[str, object]]) -> None:
    assert set(known["samplers"]) == set(REGISTRY.samplers)
    assert set(known["schedules"]) == set(REGISTRY.schedules)


@pytest.mark.parametrize("name", REGISTRY.samplers)
def test_sampler(known: dict[str, dict[str, object]], name: str) -> None:
    assert sampled(name) == pytest.approx(known["samplers"][name], abs=2e-5)  # float32 on another CPU


@pytest.mark.parametrize("name", REGISTRY.schedules)
def test_schedule(known: dict[str, dict[str, object]], name: str) -> None:
    found = scheduled(name)
    assert found.keys() == known["schedules"][name].keys()
    for model, sigmas in found.items():
        assert sigmas == pytest.approx(known["schedules"][name][model], rel=1e-6)
