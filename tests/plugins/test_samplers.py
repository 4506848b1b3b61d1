"""Bundled samplers: exact on Gaussian data, of the order they claim, equal to diffusers' where it has the method."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

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
from calotype_plugins.samplers.dpmpp_2m import DPMpp2M
from calotype_plugins.samplers.euler import Euler
from calotype_plugins.samplers.euler_ancestral import EulerAncestral, EulerAncestralParams
from calotype_plugins.samplers.heun import Heun

SAMPLERS = [Euler(), EulerAncestral(), Heun(), DPMpp2M()]
MU, S = 0.7, 0.5

each_sampler = pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler.name)


class Asked(NamedTuple):
    """One query and its answer, with copies from the time they were made."""

    sigma: float
    x: Tensor
    x_then: Tensor
    denoised: Tensor
    denoised_then: Tensor


class Driven(NamedTuple):
    x: Tensor
    asked: list[Asked]


def gaussian(x: Tensor, sigma: float) -> Tensor:
    """The exact denoiser of data N(MU, S²)."""
    return MU + S**2 / (S**2 + sigma**2) * (x - MU)


def drive(
    sampler: calotype.Sampler,
    x: Tensor,
    sigmas: calotype.Sigmas,
    denoiser: Callable[[Tensor, float], Tensor] = gaussian,
    *,
    seed: int = 0,
    params: calotype.Params | None = None,
) -> Driven:
    """Run a sampler to its end, as the engine would."""
    generator = torch.Generator().manual_seed(seed)

    def noise() -> Tensor:
        return torch.randn(x.shape, generator=generator)

    asked: list[Asked] = []
    sampling = sampler.run(x, sigmas, noise, params or sampler.Params())
    query = next(sampling)
    while True:
        denoised = denoiser(query.x, query.sigma)
        asked.append(Asked(query.sigma, query.x, query.x.clone(), denoised, denoised.clone()))
        try:
            query = sampling.send(calotype.Estimate(denoised, None))
        except StopIteration as end:
            return Driven(end.value, asked)


def spaced(steps: int, sigma_max: float = 15.0, sigma_min: float = 0.03, rho: float = 7.0) -> list[float]:
    ramp = [i / max(steps - 1, 1) for i in range(steps)]
    return [(sigma_max ** (1 / rho) * (1 - r) + sigma_min ** (1 / rho) * r) ** rho for r in ramp] + [0.0]


def drawn(sigma: float, shape: tuple[int, ...] = (4, 8, 8), seed: int = 1) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * sigma


# --- what every sampler owes -----------------------------------------------------------------------------------


@each_sampler
@pytest.mark.parametrize("steps", [1, 2, 3, 20])
def test_asks_as_often_as_it_said_and_only_at_its_levels(sampler: calotype.Sampler, steps: int) -> None:
    sigmas = spaced(steps)
    x, asked = drive(sampler, drawn(sigmas[0]), sigmas)
    assert len(asked) == sampler.calls(steps)
    assert {a.sigma for a in asked} == set(sigmas[:-1])
    assert x.shape == (4, 8, 8)
    assert x.dtype == torch.float32
    assert x.isfinite().all()


@each_sampler
@pytest.mark.parametrize("steps", [1, 5])
def test_changes_nothing_in_place(sampler: calotype.Sampler, steps: int) -> None:
    sigmas = spaced(steps)
    start = drawn(sigmas[0])
    kept = start.clone()
    asked = drive(sampler, start, sigmas).asked
    assert torch.equal(start, kept)
    for a in asked:
        assert torch.equal(a.x, a.x_then)
        assert torch.equal(a.denoised, a.denoised_then)


@each_sampler
@pytest.mark.parametrize("steps", [1, 7])
def test_the_last_step_lands_on_the_last_estimate(sampler: calotype.Sampler, steps: int) -> None:
    sigmas = spaced(steps)
    x, asked = drive(sampler, drawn(sigmas[0]), sigmas)
    torch.testing.assert_close(x, asked[-1].denoised, atol=1e-5, rtol=0)


@each_sampler
def test_is_repeatable(sampler: calotype.Sampler) -> None:
    sigmas = spaced(6)
    assert torch.equal(drive(sampler, drawn(15), sigmas).x, drive(sampler, drawn(15), sigmas).x)


# --- order of convergence --------------------------------------------------------------------------------------


def error_at_sigma_min(sampler: calotype.Sampler, steps: int) -> float:
    """Distance to the ODE's exact solution at the last level above 0: the last step to 0 would hide the order.

    float64, so that rounding does not hide it either.
    """
    sigmas = spaced(steps, 10.0, 0.1)
    start = drawn(10.0).double()
    last = drive(sampler, start, sigmas).asked[-1]
    exact = MU + (start - MU) * math.sqrt((S**2 + last.sigma**2) / (S**2 + sigmas[0] ** 2))
    return float((last.x - exact).abs().max())


@pytest.mark.parametrize(
    ("sampler", "low", "high"),
    [(Euler(), 0.9, 1.1), (Heun(), 1.85, 2.15), (DPMpp2M(), 1.85, 2.15)],
    ids=str,
)
def test_order_of_convergence(sampler: calotype.Sampler, low: float, high: float) -> None:
    coarse, fine = error_at_sigma_min(sampler, 65), error_at_sigma_min(sampler, 257)
    order = math.log2(coarse / fine) / 2
    assert low < order < high


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

    ours, asked = drive(sampler, start, sigmas, fake_denoised, seed=5)
    assert len(asked) == len(scheduler.timesteps)
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
