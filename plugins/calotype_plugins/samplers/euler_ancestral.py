"""Euler ancestral: an Euler step past the goal, then fresh noise back up to it."""

from __future__ import annotations

import math
from itertools import pairwise

from pydantic import Field

import calotype


class EulerAncestralParams(calotype.Params):
    """What can be set for ``euler_ancestral``."""

    eta: float = Field(default=1.0, ge=0.0, le=1.0, description="Share of fresh noise in each step: 0 is plain Euler")


class EulerAncestral(calotype.Sampler):
    """Ancestral sampling by Euler steps.

    The posterior's variance is that of DDPM (Ho et al. 2020, eq. 7) scaled by η as in DDIM (Song et al. 2021, eq. 16),
    in σ coordinates; the mean follows the ODE to σ_down with an Euler step, as in k-diffusion's
    ``sample_euler_ancestral`` (Crowson 2022).
    """

    name = "euler_ancestral"
    label = "Euler ancestral"
    aliases = ("EulerAncestralDiscreteScheduler",)
    Params = EulerAncestralParams

    def calls(self, steps: int) -> int:
        """One model call a step."""
        return steps

    def run(
        self, x: calotype.Latents, sigmas: calotype.Sigmas, noise: calotype.NoiseSource, params: calotype.Params
    ) -> calotype.Sampling:
        """Solve from ``sigmas[0]`` down to 0."""
        assert isinstance(params, EulerAncestralParams)
        for sigma, sigma_next in pairwise(sigmas):
            estimate = yield calotype.Query(x, sigma)
            # The two parts' variances add up to that of the next level: σ_up² + σ_down² = σ_next².
            sigma_up = params.eta * sigma_next * math.sqrt(1 - (sigma_next / sigma) ** 2)
            sigma_down = math.sqrt(sigma_next**2 - sigma_up**2)
            d = (x - estimate.denoised) / sigma
            x = x + (sigma_down - sigma) * d
            if sigma_up > 0:  # no draw where none is used: into 0, and at η = 0
                x = x + sigma_up * noise()
        return x


@calotype.hookimpl
def calotype_samplers() -> list[calotype.Sampler]:
    """Add the sampler ``euler_ancestral``."""
    return [EulerAncestral()]
