"""DPM++ 2M: second order for one model call a step, by remembering the step before."""

from __future__ import annotations

import math
from itertools import pairwise

import calotype


class DPMpp2M(calotype.Sampler):
    """DPM-Solver++(2M), the multistep second-order solver of the ODE in λ = −log σ (half the log-SNR).

    Lu et al. (2022), "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models", Algorithm 2
    with α = 1. First and last step are of first order: nothing to remember yet, and h is infinite.
    """

    name = "dpmpp_2m"
    label = "DPM++ 2M"
    aliases = ("DPMSolverMultistepScheduler",)

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
            d = denoised
            if before is not None:
                h_before, denoised_before = before
                r = h_before / h
                d = (1 + 1 / (2 * r)) * denoised - 1 / (2 * r) * denoised_before
            x = (sigma_next / sigma) * x - math.expm1(-h) * d
            before = h, denoised
        return x


@calotype.hookimpl
def calotype_samplers() -> list[calotype.Sampler]:
    """Add the sampler ``dpmpp_2m``."""
    return [DPMpp2M()]
