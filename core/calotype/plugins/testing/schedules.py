"""Checks of a schedule."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Final

from calotype.plugins.testing.check import Check, Fault, ends, global_chance_untouched, outcome, parameters
from calotype.sampling import NoiseLevels, Params, Schedule

STEPS: Final = range(1, 51)


def stable_diffusion_levels(*, zero_terminal_snr: bool = False) -> NoiseLevels:
    """Noise levels of Stable Diffusion 1.x: 0.029 to 14.6; with zero terminal SNR (Lin et al. 2023) up to 100."""
    from calotype.engine.levels import TrainedLevels

    config = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    return TrainedLevels.from_config({**config, "rescale_betas_zero_snr": zero_terminal_snr})


def check_schedule(schedule: Schedule) -> list[Check]:
    """Everything the contract asks of a schedule, on the levels of two models."""
    measures: dict[str, Callable[[Schedule], str]] = {
        "parameters": _parameters,
        "levels": _levels,
        "repeatable": _repeatable,
    }
    return [outcome(name, partial(measure, schedule)) for name, measure in measures.items()]


def _models() -> list[NoiseLevels]:
    return [stable_diffusion_levels(), stable_diffusion_levels(zero_terminal_snr=True)]


def _parameters(schedule: Schedule) -> str:
    said = parameters(schedule)
    for text, params in ends(schedule.Params):
        for levels in _models():
            _check_levels(schedule, levels, params, f"with {text}: ")
    return said


def _levels(schedule: Schedule) -> str:
    for levels in _models():
        _check_levels(schedule, levels, schedule.Params())
    twenty = schedule.sigmas(20, stable_diffusion_levels(), schedule.Params())
    least = f"{twenty[-2]:.3g}"
    return f"steps + 1 falling levels from sigma_max to 0 for 1 to 50 steps; at 20 steps the last above 0 is {least}"


def _check_levels(schedule: Schedule, levels: NoiseLevels, params: Params, when: str = "") -> None:
    for steps in STEPS:
        sigmas = [float(sigma) for sigma in schedule.sigmas(steps, levels, params)]
        at = f"{when}{steps} steps"
        if len(sigmas) != steps + 1:
            raise Fault(f"{at}: {len(sigmas)} levels; {steps + 1} are due, the last one 0")
        if not all(map(math.isfinite, sigmas)):
            raise Fault(f"{at}: a level is not finite")
        if not math.isclose(sigmas[0], levels.sigma_max, rel_tol=1e-6):
            raise Fault(f"{at}: it begins at {sigmas[0]:.6g}; levels.sigma_max, {levels.sigma_max:.6g}, is due")
        if sigmas[-1] != 0:
            raise Fault(f"{at}: it ends at {sigmas[-1]:.6g}; 0 is due")
        for place, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
            if not sigma > sigma_next:
                raise Fault(f"{at}: level {place + 1}, {sigma_next:.6g}, is not below level {place}, {sigma:.6g}")


def _repeatable(schedule: Schedule) -> str:
    levels, params = stable_diffusion_levels(), schedule.Params()
    with global_chance_untouched():
        first = list(schedule.sigmas(20, levels, params))
        schedule.sigmas(7, levels, params)
        if list(schedule.sigmas(20, levels, params)) != first:
            raise Fault("asked twice for the same steps it answers differently")
    return "the same question gets the same levels; no global generator is drawn from"
