"""UniPC: each estimate also corrects the step that led to it. Orders rise from 1 at the start, fall to 1 at the end."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal, TypeAlias

from pydantic import Field

import calotype

_Known: TypeAlias = list[tuple[float, calotype.Latents]]  # estimates with their λ = −log σ, the latest first


class UniPCParams(calotype.Params):
    """What can be set for ``uni_pc``."""

    order: int = Field(default=2, ge=1, le=3, description="How many estimates each step takes into account")
    variant: Literal["bh1", "bh2"] = Field(default="bh2", description="B(h) of the paper: h, or exp(h) - 1")


class UniPC(calotype.Sampler):
    """Zhao et al. (2023), "UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of Diffusion Models"."""

    name = "uni_pc"
    label = "UniPC"
    aliases = ("uni_pc_bh2", "UniPCMultistepScheduler")
    Params = UniPCParams

    def calls(self, steps: int) -> int:
        """One model call a step."""
        return steps

    def run(
        self, x: calotype.Latents, sigmas: calotype.Sigmas, noise: calotype.NoiseSource, params: calotype.Params
    ) -> calotype.Sampling:
        """Solve from ``sigmas[0]`` down to 0."""
        assert isinstance(params, UniPCParams)
        past: _Known = []
        before, order = x, 0
        for place, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
            denoised = (yield calotype.Query(x, sigma)).denoised
            if sigma_next == 0:  # the limit of the first-order step for h → ∞
                return denoised
            now = (-math.log(sigma), denoised)
            if past:  # UniC: the step before once more, with the estimate at its end
                x = _step(before, now[0], [*past[:order], now], params.variant)
            order = min(params.order, place + 1, len(sigmas) - 1 - place)
            past = [now, *past[: params.order - 1]]
            before, x = x, _step(x, -math.log(sigma_next), past[:order], params.variant)  # UniP
        return x


def _step(x: calotype.Latents, end: float, known: _Known, variant: str) -> calotype.Latents:
    """From the λ of the first estimate to ``end``, along the polynomial through all of them."""
    import numpy as np

    (begin, d0), others = known[0], known[1:]
    h = end - begin
    x = math.exp(-h) * x - math.expm1(-h) * d0
    r = [(at - begin) / h for at, _ in others]
    # a_p·B(h) of the paper: for one difference half of B(h), for more those that integrate powers of r exactly
    a = [(h if variant == "bh1" else -math.expm1(-h)) / 2]
    if len(r) > 1:
        a = np.linalg.solve(np.vander(r, increasing=True).T, [_moment(k + 1, h) for k in range(len(r))]).tolist()
    return x + sum(a_k / r_k * (d - d0) for a_k, r_k, (_, d) in zip(a, r, others, strict=False))


def _moment(k: int, h: float) -> float:
    """∫ e^(s − h) (s/h)^k ds from 0 to h, as a power series: by parts the terms would cancel where h is small."""
    return h * sum((-h) ** n * math.factorial(k) / math.factorial(k + n + 1) for n in range(60))


@calotype.hookimpl
def calotype_samplers() -> list[calotype.Sampler]:
    """Add the sampler ``uni_pc``."""
    return [UniPC()]
