"""A sampler at work on an analytic denoiser: it is asked and answered as in the engine, without a model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from calotype.errors import SamplerMisbehaved
from calotype.sampling import Estimate, Latents, Params, Query, Sampler, Sigmas

if TYPE_CHECKING:
    import torch

MU: Final = 0.7
S: Final = 0.5
"""The data of :func:`gaussian` are N(MU, S²) in every place."""
Denoiser: TypeAlias = Callable[[Latents, float], Latents]


def gaussian(x: Latents, sigma: float) -> Latents:
    """The exact denoiser of data N(MU, S²): the mean of x0 given ``x = x0 + sigma * noise``."""
    return MU + S**2 / (S**2 + sigma**2) * (x - MU)


def consistent(x: Latents, sigma: float) -> Latents:
    """The exact consistency model of that data: where the path through ``x`` ends, and not the mean of all ends."""
    return exact(x, sigma, 0.0)


def exact(x: Latents, sigma: float, sigma_next: float) -> Latents:
    """Where the probability-flow ODE of that data takes ``x`` between two noise levels, in closed form."""
    return MU + (x - MU) * math.sqrt((S**2 + sigma_next**2) / (S**2 + sigma**2))


def spaced(steps: int, sigma_max: float = 15.0, sigma_min: float = 0.03, rho: float = 7.0) -> list[float]:
    """``steps + 1`` noise levels: Karras et al. (2022), equation 5, then 0."""
    ramp = [i / max(steps - 1, 1) for i in range(steps)]
    return [(sigma_max ** (1 / rho) * (1 - r) + sigma_min ** (1 / rho) * r) ** rho for r in ramp] + [0.0]


def tail(left: int, steps: int = 20) -> list[float]:
    """The last ``left`` steps of :func:`spaced`: what image-to-image gives a sampler. ``tail(1)`` is [0.03, 0]."""
    return spaced(steps)[-left - 1 :]


def drawn(sigma: float, shape: Sequence[int] = (4, 8, 8), seed: int = 1) -> Latents:
    """Noise of standard deviation ``sigma``, the same for the same seed."""
    import torch

    return torch.randn(tuple(shape), generator=torch.Generator().manual_seed(seed)) * sigma


class Asked(NamedTuple):
    """One query and its answer, with copies from the time they were made."""

    sigma: float
    x: Latents
    x_then: Latents
    denoised: Latents
    denoised_then: Latents


class Drive:
    """One run of a sampler, a query at a time. Raises :class:`SamplerMisbehaved` where the engine would.

    ``x`` may be float64, so that rounding hides nothing of a method's order.
    """

    def __init__(
        self,
        sampler: Sampler,
        x: Latents,
        sigmas: Sigmas,
        denoiser: Denoiser = gaussian,
        *,
        seed: int = 0,
        params: Params | None = None,
    ) -> None:
        import torch

        self._generator = torch.Generator().manual_seed(seed)
        self._start, self._denoiser = x, denoiser
        self._promised = sampler.calls(len(sigmas) - 1)
        self._estimate: Estimate | None = None
        self.asked: list[Asked] = []
        self.draws = 0
        """How often the sampler asked for noise."""
        self.result: Latents | None = None
        self.sampling = sampler.run(x, sigmas, self._noise, sampler.Params() if params is None else params)
        if not hasattr(self.sampling, "send"):
            raise SamplerMisbehaved(f"run() returned {type(self.sampling).__name__}; it must yield Query(x, sigma)")

    @property
    def x(self) -> Latents:
        """The final latents."""
        assert self.result is not None, "the run is not at its end"
        return self.result

    def step(self) -> bool:
        """Let the sampler go on to its next query, and answer it the next time. False at its end."""
        try:
            query = next(self.sampling) if self._estimate is None else self.sampling.send(self._estimate)
        except StopIteration as stop:
            if not self.asked:
                raise SamplerMisbehaved("it ended without asking for the model") from None
            self.result = self._checked(stop.value, "its result")
            return False
        if not isinstance(query, Query):
            raise SamplerMisbehaved(f"it yielded {type(query).__name__}, not a calotype.Query")
        self._checked(query.x, "a query")
        if not isinstance(query.sigma, float | int) or not 0 < query.sigma < math.inf:
            raise SamplerMisbehaved(f"it asked at sigma {query.sigma!r}; a number above 0 is due")
        if len(self.asked) == self._promised:
            raise SamplerMisbehaved(f"it asks more than the {self._promised} times that calls() promises")
        denoised = self._denoiser(query.x, query.sigma)
        self._estimate = Estimate(denoised, denoised if query.unconditional else None)
        self.asked.append(Asked(query.sigma, query.x, query.x.clone(), denoised, denoised.clone()))
        return True

    def _noise(self) -> torch.Tensor:
        import torch

        self.draws += 1
        return torch.randn(self._start.shape, generator=self._generator, dtype=torch.float32)

    def _checked(self, x: object, what: str) -> Latents:
        import torch

        shape = self._start.shape
        if not isinstance(x, torch.Tensor) or x.shape != shape or x.dtype not in (self._start.dtype, torch.float32):
            found = f"{tuple(x.shape)} {x.dtype}" if isinstance(x, torch.Tensor) else type(x).__name__
            raise SamplerMisbehaved(f"{what} is {found}, not {tuple(shape)} torch.float32")
        if not torch.isfinite(x).all():
            raise SamplerMisbehaved(f"{what} holds NaN or infinity")
        return x


def drive(
    sampler: Sampler,
    x: Latents,
    sigmas: Sigmas,
    denoiser: Denoiser = gaussian,
    *,
    seed: int = 0,
    params: Params | None = None,
) -> Drive:
    """Run a sampler to its end."""
    driven = Drive(sampler, x, sigmas, denoiser, seed=seed, params=params)
    while driven.step():
        pass
    return driven
