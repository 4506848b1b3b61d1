"""RES multistep: an exponential integrator of second order. One model call a step."""

from __future__ import annotations

import math
from itertools import pairwise

import calotype


class RESMultistep(calotype.Sampler):
    """The multistep refined exponential solver: the line through two estimates, integrated exactly in λ = −log σ.

    Zhang et al. (2023), "Improved Order Analysis and Design of Exponential Integrator for Diffusion Models Sampling",
    with c₂ at the step before instead of inside this one: b₁ = φ₁(−h) − φ₂(−h)/c₂, b₂ = φ₂(−h)/c₂.
    """

    name = "res_multistep"
    label = "RES multistep"

    def calls(self, steps: int) -> int:
        """One model call a step."""
        return steps

    def run(
        self, x: calotype.Latents, sigmas: calotype.Sigmas, noise: calotype.NoiseSource, params: calotype.Params
    ) -> calotype.Sampling:
        """Solve from ``sigmas[0]`` down to 0."""
        before: tuple[float, calotype.Latents] | None = None
        for sigma, sigma_next in pairwise(sigmas):
            denoised = (yield calotype.Query(x, sigma)).denoised
            if sigma_next == 0:  # the limit of the first-order step for h → ∞
                return denoised
            h = math.log(sigma / sigma_next)
            phi_1 = -math.expm1(-h) / h
            if before is None:
                x = math.exp(-h) * x + h * phi_1 * denoised
            else:
                h_before, denoised_before = before
                phi_2, c_2 = (1 - phi_1) / h, -h_before / h
                b_1, b_2 = phi_1 - phi_2 / c_2, phi_2 / c_2
                x = math.exp(-h) * x + h * (b_1 * denoised + b_2 * denoised_before)
            before = h, denoised
        return x


@calotype.hookimpl
def calotype_samplers() -> list[calotype.Sampler]:
    """Add the sampler ``res_multistep``."""
    return [RESMultistep()]
