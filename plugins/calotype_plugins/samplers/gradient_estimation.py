"""Gradient estimation: Euler along a slope that leans away from the one before."""

from __future__ import annotations

from itertools import pairwise

from pydantic import Field

import calotype


class GradientEstimationParams(calotype.Params):
    """What can be set for ``gradient_estimation``."""

    gamma: float = Field(
        default=2.0, ge=1.0, le=3.0, description="How far the slope leans away from the one before: 1 is Euler"
    )


class GradientEstimation(calotype.Sampler):
    """Permenter & Yuan (2024), "Interpreting and Improving Diffusion Models from an Optimization Perspective".

    Each step goes along γ·ε + (1 − γ)·ε_before. γ = 2 is the paper's; γ = 1.5 would be Adams-Bashforth of second order
    for equal steps. Any other γ is of first order.
    """

    name = "gradient_estimation"
    label = "Gradient estimation"
    Params = GradientEstimationParams

    def calls(self, steps: int) -> int:
        """One model call a step."""
        return steps

    def run(
        self, x: calotype.Latents, sigmas: calotype.Sigmas, noise: calotype.NoiseSource, params: calotype.Params
    ) -> calotype.Sampling:
        """Solve from ``sigmas[0]`` down to 0."""
        assert isinstance(params, GradientEstimationParams)
        before: calotype.Latents | None = None
        for sigma, sigma_next in pairwise(sigmas):
            denoised = (yield calotype.Query(x, sigma)).denoised
            if sigma_next == 0:
                return denoised
            epsilon = (x - denoised) / sigma
            leaning = epsilon if before is None else params.gamma * epsilon + (1 - params.gamma) * before
            x = x + (sigma_next - sigma) * leaning
            before = epsilon
        return x


@calotype.hookimpl
def calotype_samplers() -> list[calotype.Sampler]:
    """Add the sampler ``gradient_estimation``."""
    return [GradientEstimation()]
