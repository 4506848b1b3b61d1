"""Euler: one step along the tangent of the probability-flow ODE."""

from __future__ import annotations

from itertools import pairwise

import calotype


class Euler(calotype.Sampler):
    """Euler's method on dx/dσ = (x − D(x; σ)) / σ.

    Karras et al. (2022), "Elucidating the Design Space of Diffusion-Based Generative Models", Algorithm 1 without the
    correction of lines 6-8. Equal to DDIM (Song et al. 2021, η = 0) in these coordinates.
    """

    name = "euler"
    label = "Euler"
    aliases = ("EulerDiscreteScheduler",)

    def calls(self, steps: int) -> int:
        """One model call a step."""
        return steps

    def run(
        self, x: calotype.Latents, sigmas: calotype.Sigmas, noise: calotype.NoiseSource, params: calotype.Params
    ) -> calotype.Sampling:
        """Solve from ``sigmas[0]`` down to 0."""
        for sigma, sigma_next in pairwise(sigmas):
            estimate = yield calotype.Query(x, sigma)
            d = (x - estimate.denoised) / sigma
            x = x + (sigma_next - sigma) * d
        return x


@calotype.hookimpl
def calotype_samplers() -> list[calotype.Sampler]:
    """Add the sampler ``euler``."""
    return [Euler()]
