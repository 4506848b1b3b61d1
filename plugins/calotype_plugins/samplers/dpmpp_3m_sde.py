"""DPM++ 3M SDE: looks back two steps. One model call and one draw a step."""

from __future__ import annotations

import math
from itertools import pairwise

from pydantic import Field

import calotype


class DPMpp3MSDEParams(calotype.Params):
    """What can be set for ``dpmpp_3m_sde``."""

    eta: float = Field(default=1.0, ge=0.0, le=1.0, description="Strength of the SDE's noise: 0 is none")


class DPMpp3MSDE(calotype.Sampler):
    """SDE-DPM-Solver++ with two estimates remembered, in λ = −log σ, the noise of the SDE scaled by η.

    Lu et al. (2022), "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models"; the update is
    that of k-diffusion's ``sample_dpmpp_3m_sde`` (Crowson 2023), diffusers and the authors' own program, which have
    half of the term in D″ that a Taylor series asks for. So it is of second order too, with a third of DPM++ 2M's
    error. Noisy below 20 steps or so.
    """

    name = "dpmpp_3m_sde"
    label = "DPM++ 3M SDE"
    aliases = ("dpmpp_3m_sde_gpu",)
    Params = DPMpp3MSDEParams

    def calls(self, steps: int) -> int:
        """One model call a step."""
        return steps

    def run(
        self, x: calotype.Latents, sigmas: calotype.Sigmas, noise: calotype.NoiseSource, params: calotype.Params
    ) -> calotype.Sampling:
        """Solve from ``sigmas[0]`` down to 0."""
        assert isinstance(params, DPMpp3MSDEParams)
        past: list[tuple[float, calotype.Latents]] = []  # (h, D) of the steps before, the latest first
        for sigma, sigma_next in pairwise(sigmas):
            denoised = (yield calotype.Query(x, sigma)).denoised
            if sigma_next == 0:  # the limit of the first-order step for h → ∞
                return denoised
            h = math.log(sigma / sigma_next)
            k = (1 + params.eta) * h
            phi_2 = math.expm1(-k) / k + 1
            x = math.exp(-k) * x - math.expm1(-k) * denoised
            if past:  # divided differences, in units of h
                r0 = past[0][0] / h
                d = slope = (denoised - past[0][1]) / r0
                if len(past) == 2:
                    r1 = past[1][0] / h
                    bend = (slope - (past[0][1] - past[1][1]) / r1) / (r0 + r1)
                    d = slope + r0 * bend
                    x = x - (phi_2 / k - 0.5) * bend
                x = x + phi_2 * d
            if params.eta > 0:
                x = x + sigma_next * math.sqrt(-math.expm1(-2 * params.eta * h)) * noise()
            past = [(h, denoised), *past[:1]]
        return x


@calotype.hookimpl
def calotype_samplers() -> list[calotype.Sampler]:
    """Add the sampler ``dpmpp_3m_sde``."""
    return [DPMpp3MSDE()]
