"""Bundled samplers: exact on Gaussian data, of the order they claim. Equality with diffusers: test_samplers_parity."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from pydantic import ValidationError

import calotype
from calotype.plugins.registry import Registry
from calotype.plugins.testing import MU, S, consistent, drawn, drive, exact, order_of_convergence, spaced
from gaussian_laws import law_at_sigma_min, order_of_law

SAMPLERS = Registry.discover().samplers
each_sampler = pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)
TWO_CALLS = {"heun", "dpm_2", "dpm_2_ancestral", "dpmpp_2s_ancestral", "dpmpp_sde"}
EXTRAPOLATING = {"lms", "ipndm"}
"""They go to 0 along earlier slopes too, as diffusers' do."""


def params(name: str, **options: Any) -> calotype.Params:
    return SAMPLERS[name].Params(**options)


# --- what every bundled sampler owes; the contract of all is checked in test_modules ---------------------------------


@each_sampler
@pytest.mark.parametrize("steps", [1, 2, 3, 20])
def test_asks_as_often_as_it_said_and_at_its_levels_or_between(sampler: calotype.Sampler, steps: int) -> None:
    sigmas = spaced(steps)
    asked = [a.sigma for a in drive(sampler, drawn(sigmas[0]), sigmas).asked]
    assert len(asked) == sampler.calls(steps) == (2 * steps - 1 if sampler.name in TWO_CALLS else steps)
    assert set(sigmas[:-1]) <= set(asked)
    middles = {math.sqrt(a * b) for a, b in pairwise(sigmas[:-1])}
    if sampler.name in {"dpm_2", "dpmpp_sde"}:
        assert set(asked) - set(sigmas) == middles
    elif sampler.name not in {"dpm_2_ancestral", "dpmpp_2s_ancestral"}:  # their middle lies on the way to σ_down
        assert set(asked) == set(sigmas[:-1])


@each_sampler
@pytest.mark.parametrize("steps", [1, 7])
def test_the_last_step_lands_on_the_last_estimate(sampler: calotype.Sampler, steps: int) -> None:
    sigmas = spaced(steps)
    driven = drive(sampler, drawn(sigmas[0]), sigmas)
    off = 0.02 if sampler.name in EXTRAPOLATING and steps > 1 else 1e-5
    torch.testing.assert_close(driven.x, driven.asked[-1].denoised, atol=off, rtol=0)


@each_sampler
def test_no_noise_is_drawn_that_is_not_used(sampler: calotype.Sampler) -> None:
    """One draw for each part of a step that has noise, and none into 0; no sampler draws at eta 0."""
    draws = {"dpm_2_ancestral": 6, "dpmpp_2s_ancestral": 6, "dpmpp_sde": 12, "dpmpp_2m_sde": 6, "dpmpp_3m_sde": 6}
    draws |= {"euler_ancestral": 6, "ddpm": 6, "lcm": 6}
    assert drive(sampler, drawn(15), spaced(7)).draws == draws.get(sampler.name, 0)
    if "eta" in sampler.Params.model_fields:
        assert drive(sampler, drawn(15), spaced(7), params=params(sampler.name, eta=0.0)).draws == 0
        assert drive(sampler, drawn(15), spaced(7), params=params(sampler.name, eta=0.5)).draws > 0
        for eta in (-0.1, 1.1):
            with pytest.raises(ValidationError):
                params(sampler.name, eta=eta)


@each_sampler
def test_with_noise_the_seed_decides(sampler: calotype.Sampler) -> None:
    first, second = (drive(sampler, drawn(15), spaced(5), seed=seed) for seed in (1, 2))
    assert torch.equal(first.x, second.x) == (first.draws == 0)


# --- order of convergence: of mean and standard deviation, without chance; see gaussian_laws -------------------------

ORDERS = [
    *(("euler", {}, 1), ("euler_cfg_pp", {}, 1), ("gradient_estimation", {}, 1), ("ddpm", {}, 1)),
    *(("ddpm", {"variance": "large"}, 1), ("gradient_estimation", {"gamma": 1.5}, 2)),
    *((name, {"eta": eta}, 1) for name in ("euler_ancestral", "ddim") for eta in (0.0, 0.5, 1.0)),
    *(("heun", {}, 2), ("dpm_2", {}, 2), ("dpmpp_2m", {}, 2), ("res_multistep", {}, 2)),
    *(
        (name, {"eta": eta}, 2)
        for name in ("dpm_2_ancestral", "dpmpp_2s_ancestral", "dpmpp_sde", "dpmpp_2m_sde", "dpmpp_3m_sde")
        for eta in (0.0, 0.5, 1.0)
    ),
    *(("dpmpp_2m_sde", {"solver": "heun", "eta": eta}, 2) for eta in (0.0, 1.0)),
    *(("lms", {"order": 1}, 1), ("lms", {"order": 2}, 2), ("lms", {"order": 3}, 3)),
    *(("deis", {"order": 1}, 1), ("deis", {"order": 2}, 2), ("deis", {"order": 3}, 3)),
    *(("ipndm", {"order": 1}, 1), ("ipndm", {"order": 2}, 2), ("ipndm", {"order": 4}, 2)),
    *(("uni_pc", {"order": 1}, 2), ("uni_pc", {"order": 2}, 3), ("uni_pc", {"variant": "bh1"}, 3)),
    ("uni_pc", {"order": 3}, 3),  # 4 but for the lower orders that it begins and ends with
]


@pytest.mark.parametrize(("name", "options", "order"), ORDERS, ids=str)
def test_order_of_convergence(name: str, options: dict[str, Any], order: int) -> None:
    assert order - 0.15 < order_of_law(SAMPLERS[name], params(name, **options)) < order + 0.4


def test_every_sampler_has_its_order_tested() -> None:
    assert {name for name, _, _ in ORDERS} == {name for name, each in SAMPLERS.items() if not each.distilled}


def test_the_law_is_that_of_many_samples() -> None:
    """What the orders are measured by, against a plain experiment: a coarse run, whose error is large."""
    sampler, sigmas = SAMPLERS["dpmpp_sde"], spaced(6, 10.0, 0.1)
    law = law_at_sigma_min(sampler, sigmas, sampler.Params())
    start = MU + drawn(math.hypot(S, 10.0), (1, 400, 400))
    x = drive(sampler, start, sigmas).asked[-1].x
    assert law.draws == 10
    assert x.mean().item() == pytest.approx(law.mean, abs=0.006)  # 160,000 samples: standard error 0.0013
    assert x.std().item() == pytest.approx(law.std, abs=0.005)


@pytest.mark.parametrize("name", ["lms", "ipndm"])
def test_adams_bashforth_is_of_fourth_order_on_equal_steps(name: str) -> None:
    """But for its beginning by lower orders."""
    errors = []
    for steps in (65, 257):
        sigmas = [10 - 9.5 * i / (steps - 1) for i in range(steps)] + [0.0]
        x = drive(SAMPLERS[name], drawn(10.0).double(), sigmas).asked[-1].x
        errors.append(float((x - exact(drawn(10.0).double(), 10.0, 0.5)).abs().max()))
    assert 3.3 < math.log(errors[0] / errors[1]) / math.log(256 / 64) < 4.3


def test_the_order_that_authors_are_told_agrees() -> None:
    for name in ("euler", "heun", "uni_pc"):
        own = order_of_convergence(SAMPLERS[name], 65, 257)
        assert own == pytest.approx(order_of_law(SAMPLERS[name], params(name)), abs=0.05)


# --- what methods become of each other -------------------------------------------------------------------------------

SAME = [
    ("euler_ancestral", {"eta": 0.0}, "euler", {}),
    ("ddim", {}, "euler", {}),
    ("ddim", {"eta": 1.0}, "ddpm", {}),
    ("ddim", {"eta": 0.5}, "euler_ancestral", {"eta": 0.5}),
    ("dpm_2_ancestral", {"eta": 0.0}, "dpm_2", {}),
    ("dpmpp_sde", {"eta": 0.0}, "dpmpp_2s_ancestral", {"eta": 0.0}),
    ("dpmpp_2m_sde", {"eta": 0.0}, "dpmpp_2m", {}),
    ("dpmpp_2m_sde", {"eta": 0.0, "solver": "heun"}, "res_multistep", {}),
    ("gradient_estimation", {"gamma": 1.0}, "euler", {}),
    ("euler_cfg_pp", {}, "euler", {}),  # without a prompt to tell the two estimates apart
    ("lms", {"order": 1}, "euler", {}),
    ("deis", {"order": 1}, "euler", {}),
    ("ipndm", {"order": 1}, "euler", {}),
]


@pytest.mark.parametrize(("name", "options", "other", "others"), SAME, ids=str)
def test_equals(name: str, options: dict[str, Any], other: str, others: dict[str, Any]) -> None:
    """For the same noise. 1e-5 is rounding: latents are about 15 at the start."""
    first = drive(SAMPLERS[name], drawn(15), spaced(12), seed=3, params=params(name, **options)).x
    second = drive(SAMPLERS[other], drawn(15), spaced(12), seed=3, params=params(other, **others)).x
    torch.testing.assert_close(first, second, atol=1e-5, rtol=0)


# --- in distribution -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_lcm_samples_a_consistency_model_at_any_number_of_steps(steps: int) -> None:
    start = MU + drawn(math.sqrt(S**2 + 15**2), (1, 200, 200))
    x = drive(SAMPLERS["lcm"], start, spaced(steps), consistent).x
    assert x.mean().item() == pytest.approx(MU, abs=0.01)
    assert x.std().item() == pytest.approx(S, abs=0.01)
