"""iPNDM: Adams-Bashforth with the weights of equal steps. One model call a step."""

from __future__ import annotations

from itertools import pairwise

from pydantic import Field

import calotype

_WEIGHTS = ((1,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))
"""Of the latest slope and those before it, by order."""


class IPNDMParams(calotype.Params):
    """What can be set for ``ipndm``."""

    order: int = Field(default=4, ge=1, le=4, description="How many slopes each step takes into account: 1 is Euler")


class IPNDM(calotype.Sampler):
    """Improved PNDM: the multistep formula of PNDM, begun by its lower orders instead of Runge-Kutta steps.

    Zhang & Chen (2023), "Fast Sampling of Diffusion Models with Exponential Integrator", after Liu et al. (2022),
    "Pseudo Numerical Methods for Diffusion Models on Manifolds". The weights are those of equal steps in σ, where it is
    of the order that is set; on other schedules of second order.
    """

    name = "ipndm"
    label = "iPNDM"
    aliases = ("IPNDMScheduler",)
    Params = IPNDMParams

    def calls(self, steps: int) -> int:
        """One model call a step."""
        return steps

    def run(
        self, x: calotype.Latents, sigmas: calotype.Sigmas, noise: calotype.NoiseSource, params: calotype.Params
    ) -> calotype.Sampling:
        """Solve from ``sigmas[0]`` down to 0."""
        assert isinstance(params, IPNDMParams)
        past: list[calotype.Latents] = []  # slopes, the latest first
        for sigma, sigma_next in pairwise(sigmas):
            denoised = (yield calotype.Query(x, sigma)).denoised
            past = [(x - denoised) / sigma, *past[: params.order - 1]]
            for weight, slope in zip(_WEIGHTS[len(past) - 1], past, strict=True):
                x = x + (sigma_next - sigma) * weight * slope
        return x


@calotype.hookimpl
def calotype_samplers() -> list[calotype.Sampler]:
    """Add the sampler ``ipndm``."""
    return [IPNDM()]
