"""Euler CFG++: the guided estimate, but the way back along the noise that is seen without the prompt."""

from __future__ import annotations

from itertools import pairwise

import calotype


class EulerCFGpp(calotype.Sampler):
    """Chung et al. (2024), "CFG++: Manifold-constrained Classifier Free Guidance for Diffusion Models", Algorithm 2.

    A DDIM step (Euler's, in σ coordinates) that renoises with the unconditional ε. It takes two rows a call, and far
    less guidance than other samplers: the paper's λ from 0 to 1 is a guidance of 1 + λ or so. Without guidance (1) the
    noise is still the unconditional one.
    """

    name = "euler_cfg_pp"
    label = "Euler CFG++"

    def calls(self, steps: int) -> int:
        """One model call a step."""
        return steps

    def run(
        self, x: calotype.Latents, sigmas: calotype.Sigmas, noise: calotype.NoiseSource, params: calotype.Params
    ) -> calotype.Sampling:
        """Solve from ``sigmas[0]`` down to 0."""
        for sigma, sigma_next in pairwise(sigmas):
            estimate = yield calotype.Query(x, sigma, unconditional=True)
            assert estimate.unconditional is not None
            epsilon = (x - estimate.unconditional) / sigma
            x = estimate.denoised + sigma_next * epsilon
        return x


@calotype.hookimpl
def calotype_samplers() -> list[calotype.Sampler]:
    """Add the sampler ``euler_cfg_pp``."""
    return [EulerCFGpp()]
