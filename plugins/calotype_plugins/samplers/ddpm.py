"""DDPM: each step draws from the posterior that the forward process has, given the estimate."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

from pydantic import Field

import calotype


class DDPMParams(calotype.Params):
    """What can be set for ``ddpm``."""

    variance: Literal["small", "large"] = Field(
        default="small", description="Noise of a step: the posterior's (small) or the forward process' (large)"
    )


class DDPM(calotype.Sampler):
    """Ho et al. (2020), "Denoising Diffusion Probabilistic Models", Algorithm 2 by eq. 6 and 7, for any length of step.

    In σ coordinates (x/√ᾱ, σ² = (1 − ᾱ)/ᾱ) the posterior's mean is x0 + (σ_next/σ)²·(x − x0) and its variance β̃ is
    σ_next²·(1 − σ_next²/σ²); section 3.2 calls it and β the two extreme choices.
    """

    name = "ddpm"
    label = "DDPM"
    aliases = ("DDPMScheduler",)
    Params = DDPMParams

    def calls(self, steps: int) -> int:
        """One model call a step."""
        return steps

    def run(
        self, x: calotype.Latents, sigmas: calotype.Sigmas, noise: calotype.NoiseSource, params: calotype.Params
    ) -> calotype.Sampling:
        """Solve from ``sigmas[0]`` down to 0."""
        assert isinstance(params, DDPMParams)
        for sigma, sigma_next in pairwise(sigmas):
            denoised = (yield calotype.Query(x, sigma)).denoised
            ratio = (sigma_next / sigma) ** 2
            x = denoised + ratio * (x - denoised)
            if sigma_next > 0:
                variance = sigma_next**2 * (1 - ratio)  # β̃
                if params.variance == "large":
                    variance = (sigma**2 - sigma_next**2) * (1 + sigma_next**2) / (1 + sigma**2)  # β
                x = x + math.sqrt(variance) * noise()
        return x


@calotype.hookimpl
def calotype_samplers() -> list[calotype.Sampler]:
    """Add the sampler ``ddpm``."""
    return [DDPM()]
