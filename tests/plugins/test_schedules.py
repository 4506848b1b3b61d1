"""Bundled schedules: the contract for any number of steps, and equality with diffusers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from diffusers import EulerDiscreteScheduler
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import calotype
from calotype.plugins.testing import stable_diffusion_levels
from calotype_plugins.schedules.karras import Karras, KarrasParams
from calotype_plugins.schedules.normal import Normal

SD = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


STABLE_DIFFUSION, ZERO_TERMINAL_SNR = stable_diffusion_levels(), stable_diffusion_levels(zero_terminal_snr=True)
KARRAS, NORMAL = Karras(), Normal()


def test_the_levels_are_what_they_say() -> None:
    assert STABLE_DIFFUSION.sigma_min == pytest.approx(0.0292, abs=1e-4)
    assert STABLE_DIFFUSION.sigma_max == pytest.approx(14.6146, abs=1e-4)
    assert 60 < ZERO_TERMINAL_SNR.sigma_max < 100


@given(
    schedule=st.sampled_from([KARRAS, NORMAL]),
    levels=st.sampled_from([STABLE_DIFFUSION, ZERO_TERMINAL_SNR]),
    steps=st.integers(1, 150),
    rho=st.floats(1, 20),
)
def test_falls_strictly_from_sigma_max_to_zero(
    schedule: calotype.Schedule, levels: calotype.NoiseLevels, steps: int, rho: float
) -> None:
    params = KarrasParams(rho=rho) if schedule is KARRAS else schedule.Params()
    sigmas = schedule.sigmas(steps, levels, params)
    assert len(sigmas) == steps + 1
    assert sigmas[0] == levels.sigma_max
    assert sigmas[-1] == 0
    assert all(a > b for a, b in pairwise(sigmas))
    assert all(type(sigma) is float for sigma in sigmas)
    if steps > 1:
        assert sigmas[-2] == pytest.approx(levels.sigma_min, rel=1e-9)


@pytest.mark.parametrize(
    "steps", [2, 20, 50]
)  # for a single step diffusers gives sigma_min alone: no picture comes of it
def test_karras_equals_diffusers(steps: int) -> None:
    scheduler = EulerDiscreteScheduler.from_config({**SD, "use_karras_sigmas": True})
    scheduler.set_timesteps(steps)
    ours = KARRAS.sigmas(steps, STABLE_DIFFUSION, KarrasParams())
    np.testing.assert_allclose(ours, scheduler.sigmas.numpy(), rtol=1e-4)


# diffusers interpolates between training steps in sigma, we (as k-diffusion and ComfyUI) in log sigma. At 2, 10, 28
# and 112 steps no interpolation is needed, since 999 is divisible.
@pytest.mark.parametrize(("steps", "rtol"), [(2, 1e-4), (10, 1e-4), (28, 1e-4), (112, 1e-4), (50, 2e-3)])
def test_normal_equals_diffusers_linspace(steps: int, rtol: float) -> None:
    scheduler = EulerDiscreteScheduler.from_config({**SD, "timestep_spacing": "linspace"})
    scheduler.set_timesteps(steps)
    ours = NORMAL.sigmas(steps, STABLE_DIFFUSION, NORMAL.Params())
    np.testing.assert_allclose(ours, scheduler.sigmas.numpy(), rtol=rtol)


@pytest.mark.parametrize("rho", [0.9, 20.1])
def test_karras_refuses_a_rho_out_of_range(rho: float) -> None:
    with pytest.raises(ValidationError):
        KarrasParams(rho=rho)
