"""The exact distribution that a sampler makes of Gaussian data: no chance, so that small errors can be told apart.

The exact denoiser of Gaussian data is linear in x. So the end is a linear function of the start and of every draw of
noise, and its coefficients come out of one run in which each place of the latents has another one of these set to 1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

import calotype
from calotype.plugins.testing import MU, S, gaussian, spaced


class Law(NamedTuple):
    mean: float
    std: float
    draws: int


def law_at_sigma_min(sampler: calotype.Sampler, sigmas: list[float], params: calotype.Params) -> Law:
    """Of the latents at the last level above 0, begun exactly. The last step, to 0, would hide a method's order."""
    steps = len(sigmas) - 1
    start = torch.zeros(1, 1, 2 + 2 * steps, dtype=torch.float64)
    start[..., 1] = 1
    draws = 0

    def noise() -> Tensor:
        nonlocal draws
        draws += 1
        return torch.nn.functional.one_hot(torch.tensor(1 + draws), start.shape[-1]).double()[None, None]

    sampling = sampler.run(start, sigmas, noise, params)
    query, end = next(sampling), None
    try:
        while True:
            if query.sigma >= sigmas[-2] * (1 - 1e-9):
                end = query.x.flatten()
            denoised = gaussian(query.x, query.sigma)
            query = sampling.send(calotype.Estimate(denoised, denoised))
    except StopIteration:
        pass
    assert end is not None
    offset, coefficients = end[0], end[1:] - end[0]
    of_start, of_draws = coefficients[0], coefficients[1:]
    variance = of_start**2 * (S**2 + sigmas[0] ** 2) + (of_draws**2).sum()
    return Law(float(of_start * MU + offset), math.sqrt(variance), draws)


def order_of_law(sampler: calotype.Sampler, params: calotype.Params, coarse: int = 65, fine: int = 257) -> float:
    """How fast mean and standard deviation come right: their error falls as steps ** -order."""
    errors = []
    for steps in (coarse, fine):
        sigmas = spaced(steps, 10.0, 0.1)
        law = law_at_sigma_min(sampler, sigmas, params)
        errors.append(math.hypot(law.mean - MU, law.std - math.hypot(S, sigmas[-2])))
    return math.log(errors[0] / errors[1]) / math.log((fine - 1) / (coarse - 1))
