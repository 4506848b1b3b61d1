"""LMS: a linear multistep method, of up to fourth order for one model call a step."""

from __future__ import annotations

import math
from itertools import pairwise

from pydantic import Field

import calotype


class LMSParams(calotype.Params):
    """What can be set for ``lms``."""

    order: int = Field(default=4, ge=1, le=4, description="How many slopes each step takes into account: 1 is Euler")


class LMS(calotype.Sampler):
    """Adams-Bashforth on dx/dσ = (x − D(x; σ)) / σ, for steps of any length: the slopes' polynomial is integrated.

    Hairer, Nørsett & Wanner (1993), "Solving Ordinary Differential Equations I", section III.5; for diffusion models
    k-diffusion's ``sample_lms`` (Crowson 2022). It begins with an Euler step and gains an order with each one.
    """

    name = "lms"
    label = "LMS"
    aliases = ("LMSDiscreteScheduler",)
    Params = LMSParams

    def calls(self, steps: int) -> int:
        """One model call a step."""
        return steps

    def run(
        self, x: calotype.Latents, sigmas: calotype.Sigmas, noise: calotype.NoiseSource, params: calotype.Params
    ) -> calotype.Sampling:
        """Solve from ``sigmas[0]`` down to 0."""
        assert isinstance(params, LMSParams)
        past: list[tuple[float, calotype.Latents]] = []  # (σ, slope), the latest first
        for sigma, sigma_next in pairwise(sigmas):
            d = (x - (yield calotype.Query(x, sigma)).denoised) / sigma
            past = [(sigma, d), *past[: params.order - 1]]
            levels = [level for level, _ in past]
            for place, (_, slope) in enumerate(past):
                x = x + _weight(levels, place, sigma, sigma_next) * slope
        return x


def _weight(levels: list[float], place: int, start: float, end: float) -> float:
    """Integral, from start to end, of the Lagrange polynomial that is 1 at ``levels[place]`` and 0 at the others.

    By Gauss's rule with two points, which is exact up to third degree.
    """
    others = [level for other, level in enumerate(levels) if other != place]
    middle, half = (start + end) / 2, (end - start) / 2
    points = (middle - half / math.sqrt(3), middle + half / math.sqrt(3))
    return half * sum(math.prod((p - level) / (levels[place] - level) for level in others) for p in points)


@calotype.hookimpl
def calotype_samplers() -> list[calotype.Sampler]:
    """Add the sampler ``lms``."""
    return [LMS()]
