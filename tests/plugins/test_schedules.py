"""Bundled schedules: the contract for any number of steps, and equality with diffusers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from diffusers import EulerDiscreteScheduler
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import calotype
from calotype_plugins.schedules.karras import Karras, KarrasParams
from calotype_plugins.schedules.normal import Normal

SD = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


@dataclass(frozen=True)
class Levels:
    """calotype.NoiseLevels over a table of sigmas."""

    table: np.ndarray

    @property
    def steps(self) -> int:
        return len(self.table)

    @property
    def sigma_min(self) -> float:
        return float(self.table[0])

    @property
    def sigma_max(self) -> float:
        return float(self.table[-1])

    def sigma(self, t: float) -> float:
        return float(np.exp(np.interp(t, np.arange(self.steps), np.log(self.table))))

    def t(self, sigma: float) -> float:
        return float(np.interp(np.log(sigma), np.log(self.table), np.arange(self.steps)))


def trained(*, zero_terminal_snr: bool = False) -> Levels:
    """Stable Diffusion's levels; or rescaled to zero terminal SNR, up to the last usable one."""
    roots = np.sqrt(np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2))
    if zero_terminal_snr:
        roots = (roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])
        roots = roots[roots > 0.01]  # the last step has no finite level, those before it say next to nothing
    return Levels(np.sqrt(1 / roots**2 - 1))


STABLE_DIFFUSION, ZERO_TERMINAL_SNR = trained(), trained(zero_terminal_snr=True)
KARRAS, NORMAL = Karras(), Normal()


def test_the_fakes_are_what_they_say() -> None:
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
    schedule: calotype.Schedule, levels: Levels, steps: int, rho: float
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
