"""DPM++ SDE: a single-step second-order solver of the diffusion SDE. Two model calls and two draws a step."""

from __future__ import annotations

import math
from itertools import pairwise

from pydantic import Field

import calotype


class DPMppSDEParams(calotype.Params):
    """What can be set for ``dpmpp_sde``."""

    eta: float = Field(
        default=1.0, ge=0.0, le=1.0, description="Share of fresh noise in each step: 0 is DPM-Solver++(2S)"
    )


class DPMppSDE(calotype.Sampler):
    """DPM-Solver++(2S) for the SDE, the middle of each step (r = ½) reached with noise of its own.

    Lu et al. (2022), "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models", Algorithm 1
    with α = 1, for the SDE; k-diffusion's ``sample_dpmpp_sde`` (Crowson 2022). There both noises come from a Brownian
    tree; here the whole step's is composed of those of its halves, as the SDE itself composes them. That takes i.i.d.
    draws in order and nothing else; with unrelated ones the method would be of first order, so it is of second.
    """

    name = "dpmpp_sde"
    label = "DPM++ SDE"
    aliases = ("dpmpp_sde_gpu", "DPMSolverSDEScheduler")
    Params = DPMppSDEParams

    def calls(self, steps: int) -> int:
        """Two model calls a step, but one in the last."""
        return 2 * steps - 1

    def run(
        self, x: calotype.Latents, sigmas: calotype.Sigmas, noise: calotype.NoiseSource, params: calotype.Params
    ) -> calotype.Sampling:
        """Solve from ``sigmas[0]`` down to 0."""
        assert isinstance(params, DPMppSDEParams)
        for sigma, sigma_next in pairwise(sigmas):
            denoised = (yield calotype.Query(x, sigma)).denoised
            if sigma_next == 0:  # the limit of a first-order step for h → ∞
                return denoised
            sigma_mid = math.sqrt(sigma * sigma_next)
            down, up = _ancestral(sigma, sigma_mid, params.eta)
            first = noise() if up > 0 else 0.0
            x_mid = (down / sigma) * x + (1 - down / sigma) * denoised + up * first
            denoised = (yield calotype.Query(x_mid, sigma_mid)).denoised
            down, up = _ancestral(sigma, sigma_next, params.eta)
            # variance 1/σ² is the clock of the SDE's noise: this share of the step's lies in its first half
            share = (sigma_mid**-2 - sigma**-2) / (sigma_next**-2 - sigma**-2)
            both = math.sqrt(share) * first + math.sqrt(1 - share) * noise() if up > 0 else 0.0
            x = (down / sigma) * x + (1 - down / sigma) * denoised + up * both
        return x


def _ancestral(sigma: float, sigma_next: float, eta: float) -> tuple[float, float]:
    """σ_down and σ_up of a step: σ_up² + σ_down² = σ_next² (Song et al. 2021, DDIM, eq. 16, in σ coordinates)."""
    up = eta * sigma_next * math.sqrt(1 - (sigma_next / sigma) ** 2)
    return math.sqrt(sigma_next**2 - up**2), up


@calotype.hookimpl
def calotype_samplers() -> list[calotype.Sampler]:
    """Add the sampler ``dpmpp_sde``."""
    return [DPMppSDE()]
