"""DPM++ 2M SDE: DPM++ 2M for the diffusion SDE. One model call and one draw a step."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

from pydantic import Field

import calotype


class DPMpp2MSDEParams(calotype.Params):
    """What can be set for ``dpmpp_2m_sde``."""

    eta: float = Field(default=1.0, ge=0.0, le=1.0, description="Strength of the SDE's noise: 0 is DPM++ 2M")
    solver: Literal["midpoint", "heun"] = Field(
        default="midpoint", description="How the change since the step before is weighted"
    )


class DPMpp2MSDE(calotype.Sampler):
    """SDE-DPM-Solver++(2M) in λ = −log σ, with the noise of the SDE scaled by η.

    Lu et al. (2022), "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models", with α = 1:
    "midpoint" takes the slope for the whole step at its middle, "heun" integrates the line through both estimates
    exactly. k-diffusion's ``sample_dpmpp_2m_sde`` (Crowson 2022). Of second order, with noise in distribution.
    """

    name = "dpmpp_2m_sde"
    label = "DPM++ 2M SDE"
    aliases = ("dpmpp_2m_sde_gpu",)
    Params = DPMpp2MSDEParams

    def calls(self, steps: int) -> int:
        """One model call a step."""
        return steps

    def run(
        self, x: calotype.Latents, sigmas: calotype.Sigmas, noise: calotype.NoiseSource, params: calotype.Params
    ) -> calotype.Sampling:
        """Solve from ``sigmas[0]`` down to 0."""
        assert isinstance(params, DPMpp2MSDEParams)
        before: tuple[float, calotype.Latents] | None = None
        for sigma, sigma_next in pairwise(sigmas):
            denoised = (yield calotype.Query(x, sigma)).denoised
            if sigma_next == 0:  # the limit of the first-order step for h → ∞
                return denoised
            h = math.log(sigma / sigma_next)
            k = (1 + params.eta) * h
            x = math.exp(-k) * x - math.expm1(-k) * denoised
            if before is not None:
                h_before, denoised_before = before
                weight = -math.expm1(-k) / 2 if params.solver == "midpoint" else math.expm1(-k) / k + 1
                x = x + weight * (h / h_before) * (denoised - denoised_before)
            if params.eta > 0:
                x = x + sigma_next * math.sqrt(-math.expm1(-2 * params.eta * h)) * noise()
            before = h, denoised
        return x


@calotype.hookimpl
def calotype_samplers() -> list[calotype.Sampler]:
    """Add the sampler ``dpmpp_2m_sde``."""
    return [DPMpp2MSDE()]
