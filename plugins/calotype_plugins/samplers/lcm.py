"""LCM: jump to the end, add noise again, jump again. For models that were distilled to do so."""

from __future__ import annotations

from itertools import pairwise

import calotype


class LCM(calotype.Sampler):
    """Multistep consistency sampling.

    Song et al. (2023), "Consistency Models", Algorithm 1; Luo et al. (2023), "Latent Consistency Models: Synthesizing
    High-Resolution Images with Few-Step Inference", Algorithm 3. A consistency model's estimate is the end of the
    path, and 2 to 8 steps are enough. Any other model's is the mean of all possible ends: the picture is too smooth.
    """

    name = "lcm"
    label = "LCM"
    aliases = ("LCMScheduler",)
    distilled = True

    def calls(self, steps: int) -> int:
        """One model call a step."""
        return steps

    def run(
        self, x: calotype.Latents, sigmas: calotype.Sigmas, noise: calotype.NoiseSource, params: calotype.Params
    ) -> calotype.Sampling:
        """Solve from ``sigmas[0]`` down to 0."""
        for sigma, sigma_next in pairwise(sigmas):
            x = (yield calotype.Query(x, sigma)).denoised
            if sigma_next > 0:
                x = x + sigma_next * noise()
        return x


@calotype.hookimpl
def calotype_samplers() -> list[calotype.Sampler]:
    """Add the sampler ``lcm``."""
    return [LCM()]
