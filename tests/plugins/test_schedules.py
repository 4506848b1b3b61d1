"""Bundled schedules: the contract for any number of steps, what each one is, and equality with diffusers."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from diffusers import DDIMScheduler, EulerDiscreteScheduler
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import calotype
from calotype.engine.levels import TrainedLevels
from calotype.plugins.registry import Registry
from calotype.plugins.testing import stable_diffusion_levels
from calotype_plugins.schedules.beta import quantile

pytestmark = pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")  # diffusers' use of numpy

SD = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
STABLE_DIFFUSION, ZERO_TERMINAL_SNR = stable_diffusion_levels(), stable_diffusion_levels(zero_terminal_snr=True)
FEW_LEVELS = TrainedLevels.from_config({**SD, "num_train_timesteps": 50})
SCHEDULES = Registry.discover().schedules
DOWN_TO_SIGMA_MIN = {"exponential", "karras", "kl_optimal", "normal"}


def sigmas(name: str, steps: int, levels: calotype.NoiseLevels = STABLE_DIFFUSION, **options: Any) -> list[float]:
    schedule = SCHEDULES[name]
    return list(schedule.sigmas(steps, levels, schedule.Params(**options)))


def test_the_levels_are_what_they_say() -> None:
    assert STABLE_DIFFUSION.sigma_min == pytest.approx(0.0292, abs=1e-4)
    assert STABLE_DIFFUSION.sigma_max == pytest.approx(14.6146, abs=1e-4)
    assert 60 < ZERO_TERMINAL_SNR.sigma_max < 100


OPTIONS = {
    "karras": st.fixed_dictionaries({}, optional={"rho": st.floats(1, 20)}),
    "beta": st.fixed_dictionaries({}, optional={"alpha": st.floats(0.3, 5), "beta": st.floats(0.3, 5)}),
    "linear_quadratic": st.fixed_dictionaries({}, optional={"threshold": st.floats(0.001, 0.3)}),
}


def test_every_parameter_is_varied() -> None:
    assert set(OPTIONS) == {name for name, each in SCHEDULES.items() if each.Params.model_fields}


@pytest.mark.parametrize("name", SCHEDULES)
@given(data=st.data())
def test_falls_strictly_from_sigma_max_to_zero(name: str, data: st.DataObject) -> None:
    """Also with more steps than the model has levels."""
    levels = data.draw(st.sampled_from([STABLE_DIFFUSION, ZERO_TERMINAL_SNR, FEW_LEVELS]))
    steps = data.draw(st.integers(1, 150))
    found = sigmas(name, steps, levels, **data.draw(OPTIONS.get(name, st.just({}))))
    assert len(found) == steps + 1
    assert found[0] == levels.sigma_max
    assert found[-1] == 0
    assert all(a > b for a, b in pairwise(found))
    assert all(type(sigma) is float for sigma in found)
    if steps > 1:
        assert found[-2] >= levels.sigma_min * (1 - 1e-9)
        if name in DOWN_TO_SIGMA_MIN:
            assert found[-2] == pytest.approx(levels.sigma_min, rel=1e-9)


# --- parity with diffusers -------------------------------------------------------------------------------------


def euler(steps: int, **options: Any) -> np.ndarray:
    scheduler = EulerDiscreteScheduler.from_config({**SD, **options})
    scheduler.set_timesteps(steps)
    return scheduler.sigmas.numpy()


# for a single step diffusers gives sigma_min alone: no picture comes of it
@pytest.mark.parametrize("steps", [2, 20, 50])
@pytest.mark.parametrize("name", ["karras", "exponential"])
def test_parity_karras_and_exponential(name: str, steps: int) -> None:
    np.testing.assert_allclose(sigmas(name, steps), euler(steps, **{f"use_{name}_sigmas": True}), rtol=1e-4)


# diffusers interpolates between training steps in sigma, we (as k-diffusion and ComfyUI) in log sigma. At 2, 10, 28
# and 112 steps no interpolation is needed, since 999 is divisible.
@pytest.mark.parametrize(("steps", "rtol"), [(2, 1e-4), (10, 1e-4), (28, 1e-4), (112, 1e-4), (50, 2e-3)])
def test_parity_normal_is_linspace(steps: int, rtol: float) -> None:
    np.testing.assert_allclose(sigmas("normal", steps), euler(steps, timestep_spacing="linspace"), rtol=rtol)


@pytest.mark.parametrize("steps", [1, 2, 4, 20, 50, 125])
def test_parity_simple_is_trailing(steps: int) -> None:
    np.testing.assert_allclose(sigmas("simple", steps), euler(steps, timestep_spacing="trailing"), rtol=1e-4)


@pytest.mark.parametrize("steps", [1, 2, 7, 20, 60])
def test_parity_ddim_uniform_is_leading_but_begins_at_the_top(steps: int) -> None:
    scheduler = DDIMScheduler.from_config({**SD, "timestep_spacing": "leading", "steps_offset": 1})
    scheduler.set_timesteps(steps)
    bars = scheduler.alphas_cumprod[scheduler.timesteps].double().numpy()
    theirs = np.sqrt((1 - bars) / bars)
    np.testing.assert_allclose(sigmas("ddim_uniform", steps)[1:-1], theirs[1:], rtol=1e-4)
    assert theirs[0] < STABLE_DIFFUSION.sigma_max


# --- what each one is ------------------------------------------------------------------------------------------


def test_exponential_falls_by_one_factor() -> None:
    found = sigmas("exponential", 12)
    factors = [b / a for a, b in pairwise(found[:-1])]
    assert factors == pytest.approx([factors[0]] * 11)


def test_kl_optimal_is_even_in_arctan() -> None:
    angles = [math.atan(sigma) for sigma in sigmas("kl_optimal", 12)[:-1]]
    gaps = [a - b for a, b in pairwise(angles)]
    assert gaps == pytest.approx([gaps[0]] * 11)


def test_sgm_uniform_is_normal_with_one_more_step_left_out() -> None:
    assert sigmas("sgm_uniform", 12)[:-1] == pytest.approx(sigmas("normal", 13)[:-2])


@pytest.mark.parametrize("name", ["simple", "ddim_uniform"])
def test_only_levels_that_the_model_was_trained_on(name: str) -> None:
    trained = {STABLE_DIFFUSION.sigma(t) for t in range(STABLE_DIFFUSION.steps)}
    for steps in (1, 7, 20, 150):
        assert set(sigmas(name, steps)[1:-1]) <= trained


@pytest.mark.parametrize("threshold", [0.025, 0.2])
def test_linear_quadratic_is_a_line_and_then_a_parabola(threshold: float) -> None:
    found = [sigma / (1 + sigma) for sigma in sigmas("linear_quadratic", 20, threshold=threshold)]
    gaps = [a - b for a, b in pairwise(found)]
    assert sum(gaps[:10]) == pytest.approx(threshold * found[0])
    assert gaps[:10] == pytest.approx([gaps[0]] * 10)
    bends = [b - a for a, b in pairwise(gaps[10:])]
    assert bends == pytest.approx([bends[0]] * 9)
    assert bends[0] > 0


def test_beta_is_denser_at_both_ends_and_even_at_one() -> None:
    def times(**options: float) -> list[float]:
        return [STABLE_DIFFUSION.t(sigma) for sigma in sigmas("beta", 20, **options)[:-1]]

    gaps = [a - b for a, b in pairwise(times())]
    assert max(gaps[0], gaps[-1]) < min(gaps[8:11])
    even = [a - b for a, b in pairwise(times(alpha=1.0, beta=1.0))]
    assert even == pytest.approx([999 / 20] * 19)


@pytest.mark.parametrize(
    ("p", "a", "b", "x"),
    [  # scipy.stats.beta.ppf, scipy 1.17
        (0.05, 0.6, 0.6, 0.012554456873611399),
        (0.3, 0.6, 0.6, 0.23401700387523572),
        (0.95, 0.6, 0.6, 0.9874455431263885),
        (0.5, 0.3, 5, 0.015575670380369208),
        (0.006666666666666667, 0.3, 0.3, 3.9773226049927446e-07),
        (0.2, 5, 5, 0.3660865165357292),
        (0.75, 2.5, 1, 0.8913012289830017),
    ],
)
def test_quantiles_of_the_beta_distribution(p: float, a: float, b: float, x: float) -> None:
    assert quantile(p, a, b) == pytest.approx(x, rel=1e-9)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *(("karras", {"rho": rho}) for rho in (0.9, 20.1)),
        *(("beta", {key: value}) for key in ("alpha", "beta") for value in (0.29, 5.1)),
        *(("linear_quadratic", {"threshold": threshold}) for threshold in (0.0, 0.31)),
    ],
    ids=str,
)
def test_refuses_parameters_out_of_range(name: str, options: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        SCHEDULES[name].Params(**options)
