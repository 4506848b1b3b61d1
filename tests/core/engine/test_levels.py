"""Noise levels against diffusers' own tables."""

from __future__ import annotations

import numpy as np
import pytest
from diffusers import DDIMScheduler
from hypothesis import given
from hypothesis import strategies as st

from calotype.engine.levels import SIGMA_LIMIT, TrainedLevels
from calotype.errors import ModelError

SD = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}


@pytest.mark.parametrize("schedule", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_levels_equal_diffusers(schedule: str) -> None:
    config = {**SD, "beta_schedule": schedule}
    levels = TrainedLevels.from_config(config)
    bars = DDIMScheduler.from_config(config).alphas_cumprod.double().numpy()
    sigmas = np.sqrt((1 - bars) / bars)
    for t in (0, 1, 500, 900):
        assert levels.sigma(t) == pytest.approx(sigmas[t], rel=2e-3)


def test_zero_terminal_snr_ends_at_the_limit() -> None:
    config = {**SD, "rescale_betas_zero_snr": True}
    levels = TrainedLevels.from_config(config)
    bars = DDIMScheduler.from_config(config).alphas_cumprod.double().numpy()
    assert levels.sigma(500) == pytest.approx(np.sqrt((1 - bars[500]) / bars[500]), rel=2e-3)
    assert 30 < levels.sigma_max <= SIGMA_LIMIT
    assert levels.steps < 1000


@given(st.floats(0, 999))
def test_t_is_the_inverse_of_sigma(t: float) -> None:
    levels = TrainedLevels.from_config(SD)
    assert levels.t(levels.sigma(t)) == pytest.approx(t, abs=1e-6)


def test_unknown_schedule_is_refused() -> None:
    with pytest.raises(ModelError, match="beta_schedule 'spiral' is not known"):
        TrainedLevels.from_config({"beta_schedule": "spiral"})
