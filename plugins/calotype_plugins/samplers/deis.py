"""DEIS: an exponential integrator that extrapolates the predicted noise. One model call a step."""

from __future__ import annotations

import math
from itertools import pairwise

from pydantic import Field

import calotype


class DEISParams(calotype.Params):
    """What can be set for ``deis``."""

    order: int = Field(default=3, ge=1, le=3, description="How many estimates each step takes into account: 1 is Euler")


class DEIS(calotype.Sampler):
    """ρAB-DEIS: dx/dρ = ε(x; ρ) with ρ = σ, ε extrapolated by a polynomial in log ρ and integrated exactly.

    Zhang & Chen (2023), "Fast Sampling of Diffusion Models with Exponential Integrator". It begins with an Euler
    step and gains an order with each one.
    """

    name = "deis"
    label = "DEIS"
    aliases = ("DEISMultistepScheduler",)
    Params = DEISParams

    def calls(self, steps: int) -> int:
        """One model call a step."""
        return steps

    def run(
        self, x: calotype.Latents, sigmas: calotype.Sigmas, noise: calotype.NoiseSource, params: calotype.Params
    ) -> calotype.Sampling:
        """Solve from ``sigmas[0]`` down to 0."""
        assert isinstance(params, DEISParams)
        past: list[tuple[float, calotype.Latents]] = []  # (log ρ, ε), the latest first
        for sigma, sigma_next in pairwise(sigmas):
            denoised = (yield calotype.Query(x, sigma)).denoised
            if sigma_next == 0:
                return denoised
            past = [(math.log(sigma), (x - denoised) / sigma), *past[: params.order - 1]]
            # ∫ (log ρ − log σ)^k dρ from σ to σ_next for k = 0, 1, 2, by parts
            log = math.log(sigma_next / sigma)
            i0 = sigma_next - sigma
            i1 = sigma_next * log - i0
            i2 = sigma_next * log**2 - 2 * i1
            x = x + i0 * past[0][1]
            if len(past) > 1:  # Newton's form: divided differences of ε in log ρ
                (a, e0), (b, e1) = past[:2]
                slope = (e0 - e1) / (a - b)
                x = x + i1 * slope
                if len(past) > 2:
                    c, e2 = past[2]
                    bend = (slope - (e1 - e2) / (b - c)) / (a - c)
                    x = x + (i2 + (a - b) * i1) * bend
        return x


@calotype.hookimpl
def calotype_samplers() -> list[calotype.Sampler]:
    """Add the sampler ``deis``."""
    return [DEIS()]
