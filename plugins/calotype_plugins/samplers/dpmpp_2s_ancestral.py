"""DPM++ 2S ancestral: a single-step second-order solver past the goal, then fresh noise back up to it."""

from __future__ import annotations

import math
from itertools import pairwise

from pydantic import Field

import calotype


class DPMpp2SAncestralParams(calotype.Params):
    """What can be set for ``dpmpp_2s_ancestral``."""

    eta: float = Field(
        default=1.0, ge=0.0, le=1.0, description="Share of fresh noise in each step: 0 is DPM-Solver++(2S)"
    )


class DPMpp2SAncestral(calotype.Sampler):
    """Ancestral sampling by steps of DPM-Solver++(2S).

    Lu et al. (2022), "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models", Algorithm 1
    with α = 1 and r = ½, where D is the estimate at the middle alone; σ_up and σ_down as in ``euler_ancestral``.
    k-diffusion's ``sample_dpmpp_2s_ancestral`` (Crowson 2022).
    """

    name = "dpmpp_2s_ancestral"
    label = "DPM++ 2S ancestral"
    Params = DPMpp2SAncestralParams

    def calls(self, steps: int) -> int:
        """Two model calls a step, but one in the last."""
        return 2 * steps - 1

    def run(
        self, x: calotype.Latents, sigmas: calotype.Sigmas, noise: calotype.NoiseSource, params: calotype.Params
    ) -> calotype.Sampling:
        """Solve from ``sigmas[0]`` down to 0."""
        assert isinstance(params, DPMpp2SAncestralParams)
        for sigma, sigma_next in pairwise(sigmas):
            denoised = (yield calotype.Query(x, sigma)).denoised
            if sigma_next == 0:  # the limit of a first-order step for h → ∞
                return denoised
            sigma_up = params.eta * sigma_next * math.sqrt(1 - (sigma_next / sigma) ** 2)
            sigma_down = math.sqrt(sigma_next**2 - sigma_up**2)
            h = math.log(sigma / sigma_down)
            sigma_mid = sigma * math.exp(-h / 2)
            x_mid = math.exp(-h / 2) * x - math.expm1(-h / 2) * denoised
            denoised = (yield calotype.Query(x_mid, sigma_mid)).denoised
            x = math.exp(-h) * x - math.expm1(-h) * denoised
            if sigma_up > 0:
                x = x + sigma_up * noise()
        return x


@calotype.hookimpl
def calotype_samplers() -> list[calotype.Sampler]:
    """Add the sampler ``dpmpp_2s_ancestral``."""
    return [DPMpp2SAncestral()]
