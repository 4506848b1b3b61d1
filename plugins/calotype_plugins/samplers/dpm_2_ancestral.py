"""DPM2 ancestral: a midpoint step past the goal, then fresh noise back up to it."""

from __future__ import annotations

import math
from itertools import pairwise

from pydantic import Field

import calotype


class DPM2AncestralParams(calotype.Params):
    """What can be set for ``dpm_2_ancestral``."""

    eta: float = Field(default=1.0, ge=0.0, le=1.0, description="Share of fresh noise in each step: 0 is plain DPM2")


class DPM2Ancestral(calotype.Sampler):
    """Ancestral sampling by midpoint steps.

    σ_up and σ_down are those of ``euler_ancestral`` (Song et al. 2021, "Denoising Diffusion Implicit Models", eq. 16,
    in σ coordinates); the way to σ_down is that of ``dpm_2`` (Lu et al. 2022, DPM-Solver-2), as in k-diffusion's
    ``sample_dpm_2_ancestral`` (Crowson 2022). Exact in distribution but for the ODE step, so of second order.
    """

    name = "dpm_2_ancestral"
    label = "DPM2 ancestral"
    aliases = ("KDPM2AncestralDiscreteScheduler",)
    Params = DPM2AncestralParams

    def calls(self, steps: int) -> int:
        """Two model calls a step, but one in the last."""
        return 2 * steps - 1

    def run(
        self, x: calotype.Latents, sigmas: calotype.Sigmas, noise: calotype.NoiseSource, params: calotype.Params
    ) -> calotype.Sampling:
        """Solve from ``sigmas[0]`` down to 0."""
        assert isinstance(params, DPM2AncestralParams)
        for sigma, sigma_next in pairwise(sigmas):
            sigma_up = params.eta * sigma_next * math.sqrt(1 - (sigma_next / sigma) ** 2)
            sigma_down = math.sqrt(sigma_next**2 - sigma_up**2)
            d = (x - (yield calotype.Query(x, sigma)).denoised) / sigma
            if sigma_next > 0:  # towards 0 the middle in log σ is 0 as well: the last step stays Euler's
                sigma_mid = math.sqrt(sigma * sigma_down)
                x_mid = x + (sigma_mid - sigma) * d
                d = (x_mid - (yield calotype.Query(x_mid, sigma_mid)).denoised) / sigma_mid
            x = x + (sigma_down - sigma) * d
            if sigma_up > 0:  # no draw where none is used: into 0, and at η = 0
                x = x + sigma_up * noise()
        return x


@calotype.hookimpl
def calotype_samplers() -> list[calotype.Sampler]:
    """Add the sampler ``dpm_2_ancestral``."""
    return [DPM2Ancestral()]
