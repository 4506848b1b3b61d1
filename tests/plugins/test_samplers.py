"""Bundled samplers: exact on Gaussian data, of the order they claim, equal to diffusers' where it has the method."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
)
from pydantic import ValidationError
from torch import Tensor

import calotype
from calotype.plugins.testing import MU, S, drawn, drive, order_of_convergence, spaced
from calotype_plugins.samplers.dpmpp_2m import DPMpp2M
from calotype_plugins.samplers.euler import Euler
from calotype_plugins.samplers.euler_ancestral import EulerAncestral, EulerAncestralParams
from calotype_plugins.samplers.heun import Heun

SAMPLERS = [Euler(), EulerAncestral(), Heun(), DPMpp2M()]
each_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler.name)


# --- what every bundled sampler owes; the contract of all is checked in test_modules --------------------------------


@each_sampler
@pytest.mark.parametrize("steps", [1, 2, 3, 20])
def test_asks_as_often_as_it_said_and_only_at_its_levels(sampler: calotype.Sampler, steps: int) -> None:
    sigmas = spaced(steps)
    asked = drive(sampler, drawn(sigmas[0]), sigmas).asked
    assert len(asked) == sampler.calls(steps)
    assert {a.sigma for a in asked} == set(sigmas[:-1])


@each_sampler
@pytest.mark.parametrize("steps", [1, 7])
def test_the_last_step_lands_on_the_last_estimate(sampler: calotype.Sampler, steps: int) -> None:
    sigmas = spaced(steps)
    driven = drive(sampler, drawn(sigmas[0]), sigmas)
    torch.testing.assert_close(driven.x, driven.asked[-1].denoised, atol=1e-5, rtol=0)


# --- order of convergence --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sampler", "low", "high"),
    [(Euler(), 0.9, 1.1), (Heun(), 1.85, 2.15), (DPMpp2M(), 1.85, 2.15)],
    ids=lambda each: getattr(each, "name", None),
)
def test_order_of_convergence(sampler: calotype.Sampler, low: float, high: float) -> None:
    assert low < order_of_convergence(sampler, 65, 257) < high


# --- Euler ancestral -------------------------------------------------------------------------------------------


def test_euler_ancestral_without_noise_is_euler() -> None:
    sigmas = spaced(12)
    quiet = drive(EulerAncestral(), drawn(15), sigmas, params=EulerAncestralParams(eta=0))
    assert torch.equal(quiet.x, drive(Euler(), drawn(15), sigmas).x)


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_euler_ancestral_samples_the_distribution(eta: float) -> None:
    sigmas = spaced(200)
    start = MU + drawn(math.sqrt(S**2 + 15**2), (1, 200, 200))
    x = drive(EulerAncestral(), start, sigmas, params=EulerAncestralParams(eta=eta)).x
    # 40,000 samples: standard errors 0.0025 and 0.0018; the discretisation adds about 0.01
    assert abs(x.mean().item() - MU) < 0.015
    assert abs(x.std().item() - S) < 0.025


def test_euler_ancestral_depends_on_its_noise() -> None:
    sigmas = spaced(5)
    assert not torch.equal(
        drive(EulerAncestral(), drawn(15), sigmas, seed=1).x, drive(EulerAncestral(), drawn(15), sigmas, seed=2).x
    )


@pytest.mark.parametrize("eta", [-0.1, 1.1])
def test_euler_ancestral_refuses_an_eta_out_of_range(eta: float) -> None:
    with pytest.raises(ValidationError):
        EulerAncestralParams(eta=eta)


# --- parity with diffusers -------------------------------------------------------------------------------------

SD = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def fake_epsilon(scaled: Tensor, sigma: float) -> Tensor:
    """A model that predicts noise: nonlinear, mixes positions, depends on the level. ``scaled`` has unit variance."""
    mixed = 0.6 * scaled + 0.4 * scaled.roll(1, -1)
    return torch.tanh(1.3 * mixed + 0.2 * math.log(sigma)) + 0.3 * torch.sin(2 * scaled)


def fake_denoised(x: Tensor, sigma: float) -> Tensor:
    return x - sigma * fake_epsilon(x / math.sqrt(1 + sigma**2), sigma)


PAIRS = [
    pytest.param(Euler(), EulerDiscreteScheduler, {"timestep_spacing": "linspace"}, id="euler"),
    pytest.param(Euler(), EulerDiscreteScheduler, {"use_karras_sigmas": True}, id="euler-karras"),
    pytest.param(EulerAncestral(), EulerAncestralDiscreteScheduler, {"timestep_spacing": "linspace"}, id="ancestral"),
    pytest.param(Heun(), HeunDiscreteScheduler, {"timestep_spacing": "linspace"}, id="heun"),
    pytest.param(Heun(), HeunDiscreteScheduler, {"use_karras_sigmas": True}, id="heun-karras"),
    # With final sigma zero the last step is of first order in any case: lower_order_final says the same at < 15 steps.
    pytest.param(DPMpp2M(), DPMSolverMultistepScheduler, {"timestep_spacing": "linspace"}, id="2m"),
    pytest.param(DPMpp2M(), DPMSolverMultistepScheduler, {"use_karras_sigmas": True}, id="2m-karras"),
]


@pytest.mark.parametrize("steps", [1, 2, 10, 25])
@pytest.mark.parametrize(("sampler", "kind", "options"), PAIRS)
def test_equals_diffusers(sampler: calotype.Sampler, kind: Any, options: dict[str, Any], steps: int) -> None:
    scheduler = kind.from_config({**SD, **options, "prediction_type": "epsilon"})
    scheduler.set_timesteps(steps)
    levels = scheduler.sigmas.tolist()  # Heun's come twice, once for each of its calls
    sigmas = sorted(set(levels), reverse=True)
    start = drawn(sigmas[0])

    # diffusers' DPM-Solver++ works on x scaled to unit variance, the others on x itself
    unit = isinstance(scheduler, DPMSolverMultistepScheduler)
    generator = torch.Generator().manual_seed(5)
    keywords = {"generator": generator} if isinstance(sampler, EulerAncestral) else {}
    theirs = start / math.sqrt(1 + sigmas[0] ** 2) if unit else start
    for i, timestep in enumerate(scheduler.timesteps):
        model_output = fake_epsilon(scheduler.scale_model_input(theirs, timestep), levels[i])
        theirs = scheduler.step(model_output, timestep, theirs, **keywords).prev_sample

    ours = drive(sampler, start, sigmas, fake_denoised, seed=5)
    assert len(ours.asked) == len(scheduler.timesteps)
    torch.testing.assert_close(ours.x, theirs, atol=1e-4, rtol=0)
