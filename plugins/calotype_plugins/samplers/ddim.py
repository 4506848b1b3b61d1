"""DDIM: back along the predicted noise, with as much fresh noise as η says."""

from __future__ import annotations

import math
from itertools import pairwise

from pydantic import Field

import calotype


class DDIMParams(calotype.Params):
    """What can be set for ``ddim``."""

    eta: float = Field(
        default=0.0, ge=0.0, le=1.0, description="Share of fresh noise in each step: 0 is none, 1 DDPM's"
    )


class DDIM(calotype.Sampler):
    """Song et al. (2021), "Denoising Diffusion Implicit Models", eq. 12 with the variance of eq. 16.

    In σ coordinates (x/√ᾱ, σ² = (1 − ᾱ)/ᾱ) the mean is x0 + √(σ_next² − s²)·ε and the fresh noise s·z with
    s = η·σ_next·√(1 − σ_next²/σ²). At η = 0 it is Euler's method.
    """

    name = "ddim"
    label = "DDIM"
    aliases = ("DDIMScheduler",)
    Params = DDIMParams

    def calls(self, steps: int) -> int:
        """One model call a step."""
        return steps

    def run(
        self, x: calotype.Latents, sigmas: calotype.Sigmas, noise: calotype.NoiseSource, params: calotype.Params
    ) -> calotype.Sampling:
        """Solve from ``sigmas[0]`` down to 0."""
        assert isinstance(params, DDIMParams)
        for sigma, sigma_next in pairwise(sigmas):
            denoised = (yield calotype.Query(x, sigma)).denoised
            epsilon = (x - denoised) / sigma
            s = params.eta * sigma_next * math.sqrt(1 - (sigma_next / sigma) ** 2)
            x = denoised + math.sqrt(sigma_next**2 - s**2) * epsilon
            if s > 0:
                x = x + s * noise()
        return x


@calotype.hookimpl
def calotype_samplers() -> list[calotype.Sampler]:
    """Add the sampler ``ddim``."""
    return [DDIM()]
