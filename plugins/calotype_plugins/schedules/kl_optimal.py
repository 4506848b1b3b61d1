"""KL optimal: noise levels equally spaced in arctan σ."""

from __future__ import annotations

import math

import calotype


class KLOptimal(calotype.Schedule):
    """Sabour et al. (2024), "Align Your Steps: Optimizing Sampling Schedules in Diffusion Models".

    The closed form that minimises their bound on the Kullback-Leibler divergence for Gaussian data, σ_data = 1; then 0.
    """

    name = "kl_optimal"
    label = "KL optimal"

    def sigmas(self, steps: int, levels: calotype.NoiseLevels, params: calotype.Params) -> calotype.Sigmas:
        """``steps + 1`` noise levels."""
        top, bottom = math.atan(levels.sigma_max), math.atan(levels.sigma_min)
        inner = [math.tan(top + i / (steps - 1) * (bottom - top)) for i in range(1, steps)]
        # The first is given, not computed: x was drawn at exactly this level.
        return [levels.sigma_max, *inner, 0.0]


@calotype.hookimpl
def calotype_schedules() -> list[calotype.Schedule]:
    """Add the schedule ``kl_optimal``."""
    return [KLOptimal()]
