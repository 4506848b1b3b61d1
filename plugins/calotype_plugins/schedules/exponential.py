"""Exponential: noise levels equally spaced in log σ."""

from __future__ import annotations

import calotype


class Exponential(calotype.Schedule):
    """Noise levels that fall by the same factor at each step, from the highest to the lowest, then 0.

    Equal steps in λ = −log σ: Lu et al. (2022), "DPM-Solver: A Fast ODE Solver for Diffusion Probabilistic Model
    Sampling in Around 10 Steps", section 3.4 ("uniform logSNR").
    """

    name = "exponential"
    label = "Exponential"
    aliases = ("use_exponential_sigmas",)

    def sigmas(self, steps: int, levels: calotype.NoiseLevels, params: calotype.Params) -> calotype.Sigmas:
        """``steps + 1`` noise levels."""
        ratio = levels.sigma_min / levels.sigma_max
        inner = [levels.sigma_max * ratio ** (i / (steps - 1)) for i in range(1, steps)]
        return [levels.sigma_max, *inner, 0.0]


@calotype.hookimpl
def calotype_schedules() -> list[calotype.Schedule]:
    """Add the schedule ``exponential``."""
    return [Exponential()]
