"""DPM2: a step along the slope at its middle. Second order for two model calls a step."""

from __future__ import annotations

import math
from itertools import pairwise

import calotype


class DPM2(calotype.Sampler):
    """The midpoint method on dx/dσ = (x − D(x; σ)) / σ, its middle taken in log σ.

    Lu et al. (2022), "DPM-Solver: A Fast ODE Solver for Diffusion Probabilistic Model Sampling in Around 10 Steps",
    Algorithm 1 (DPM-Solver-2), gives the place of the middle; the step to it and from it is the midpoint rule in σ, in
    the coordinates of Karras et al. (2022), as in k-diffusion's ``sample_dpm_2`` (Crowson 2022).
    """

    name = "dpm_2"
    label = "DPM2"
    aliases = ("KDPM2DiscreteScheduler",)

    def calls(self, steps: int) -> int:
        """Two model calls a step, but one in the last."""
        return 2 * steps - 1

    def run(
        self, x: calotype.Latents, sigmas: calotype.Sigmas, noise: calotype.NoiseSource, params: calotype.Params
    ) -> calotype.Sampling:
        """Solve from ``sigmas[0]`` down to 0."""
        for sigma, sigma_next in pairwise(sigmas):
            d = (x - (yield calotype.Query(x, sigma)).denoised) / sigma
            if sigma_next > 0:  # towards 0 the middle in log σ is 0 as well: the last step stays Euler's
                sigma_mid = math.sqrt(sigma * sigma_next)
                x_mid = x + (sigma_mid - sigma) * d
                d = (x_mid - (yield calotype.Query(x_mid, sigma_mid)).denoised) / sigma_mid
            x = x + (sigma_next - sigma) * d
        return x


@calotype.hookimpl
def calotype_samplers() -> list[calotype.Sampler]:
    """Add the sampler ``dpm_2``."""
    return [DPM2()]
