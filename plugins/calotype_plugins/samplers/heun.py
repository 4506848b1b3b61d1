"""Heun: an Euler step, corrected by the slope at its end. Second order for two model calls a step."""

from __future__ import annotations

from itertools import pairwise

import calotype


class Heun(calotype.Sampler):
    """Heun's second-order method on dx/dσ = (x − D(x; σ)) / σ.

    Karras et al. (2022), "Elucidating the Design Space of Diffusion-Based Generative Models", Algorithm 1 with
    σ(t) = t and s(t) = 1, that is Algorithm 2 without churn.
    """

    name = "heun"
    label = "Heun"
    aliases = ("HeunDiscreteScheduler",)

    def calls(self, steps: int) -> int:
        """Two model calls a step, but one in the last."""
        return 2 * steps - 1

    def run(
        self, x: calotype.Latents, sigmas: calotype.Sigmas, noise: calotype.NoiseSource, params: calotype.Params
    ) -> calotype.Sampling:
        """Solve from ``sigmas[0]`` down to 0."""
        for sigma, sigma_next in pairwise(sigmas):
            estimate = yield calotype.Query(x, sigma)
            d = (x - estimate.denoised) / sigma
            x_next = x + (sigma_next - sigma) * d
            if sigma_next > 0:  # at 0 the slope is undefined: the last step stays Euler's
                estimate = yield calotype.Query(x_next, sigma_next)
                d_next = (x_next - estimate.denoised) / sigma_next
                x_next = x + (sigma_next - sigma) * (0.5 * d + 0.5 * d_next)
            x = x_next
        return x


@calotype.hookimpl
def calotype_samplers() -> list[calotype.Sampler]:
    """Add the sampler ``heun``."""
    return [Heun()]
