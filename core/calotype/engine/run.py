"""One picture on its way: a sampler's generator, the query it waits with, and how far it is."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch

from calotype.engine.assignment import Assignment
from calotype.engine.denoiser import Denoiser, Row
from calotype.engine.masks import Held
from calotype.engine.models import Key
from calotype.engine.starting import Start
from calotype.engine.watchdog import calling, misbehaved
from calotype.errors import ModelError, SamplerMisbehaved
from calotype.sampling import Estimate, NoiseLevels, Query, Sampling


class SeededNoise:
    """A run's noise: unit normals from its own generator, on the CPU, so that no device or neighbour changes it."""

    def __init__(self, seed: int, shape: tuple[int, int, int]) -> None:
        # torch's CPU generator takes 32 bits. Seeds below 2**32 give the noise everybody else's programs give;
        # the rest of a larger one is mixed in, so that it does not simply repeat a smaller one
        low, high = seed % 2**32, seed >> 32
        mixed = low ^ zlib.crc32(high.to_bytes(4, "little")) if high else low
        self._generator = torch.Generator().manual_seed(mixed)
        self._shape = shape

    def __call__(self) -> torch.Tensor:
        """The next (C, H, W) draw."""
        return torch.randn(self._shape, generator=self._generator, dtype=torch.float32)


class Run:
    """A sampler at work on one picture. Answers are given by the batcher.

    With ``start`` it is image-to-image (SDEdit, Meng et al. 2022): only the last steps of the schedule are done, from
    that picture with as much noise as their first level asks for; outside of its mask, if it has one, it is held.
    """

    def __init__(self, assignment: Assignment, index: int, denoiser: Denoiser, start: Start | None = None) -> None:
        request = assignment.request
        assert request.width and request.height
        self.assignment = assignment
        self.index = index
        self.seed = request.seeds()[index]
        self.denoiser = denoiser
        self.shape = denoiser.model.latent_shape(request.width, request.height)
        self.steps = request.steps_done
        with calling(assignment, "schedule", assignment.schedule.name):
            levels = denoiser.model.network.levels(self.shape)
            self.sigmas = _checked_sigmas(assignment, levels)[-self.steps - 1 :]
        self.start = None if start is None else self._fits(start)
        self.latents: torch.Tensor | None = None
        """The result, once the sampler has returned."""
        self.preview: np.ndarray | None = None
        self.model_seconds = 0.0
        """Of the model's calls in its ticks. A job's are the sum over its runs: one call for several counts once."""
        with self._calling():
            try:
                self._promised = self._calls_left = assignment.sampler.calls(self.steps)
            except BaseException as error:  # noqa: BLE001 - as when it runs
                raise misbehaved(f"sampler {assignment.sampler.name}", error) from None
        self._sampling: Sampling | None = None
        self._query: Query | None = None

    @property
    def done(self) -> bool:
        """Whether the latents are final."""
        return self.latents is not None

    @property
    def key(self) -> Key:
        """Shapes of what its rows hold, and the LoRA that it is made with."""
        return Key(self.shape, self.denoiser.signature, self.denoiser.loras)

    @property
    def batching_key(self) -> tuple[str, Key]:
        """Runs of one key can share a model call: of one model, with latents and inputs of the same shapes."""
        return self.denoiser.model.sha256, self.key

    @property
    def buckets(self) -> tuple[int, ...]:
        """Row counts of the calls that it takes part in; see :meth:`LoadedModel.buckets`."""
        return self.denoiser.model.buckets(self.key)

    @property
    def fitting_buckets(self) -> tuple[int, ...]:
        """Those that memory has room for now; see :meth:`LoadedModel.fitting`."""
        return self.denoiser.model.fitting(self.key)

    @property
    def step(self) -> int:
        """Steps behind us: the place of the current noise level in the schedule."""
        if self.done:
            return self.steps
        if self._query is None:
            return 0
        passed = sum(1 for sigma in self.sigmas if sigma > self._query.sigma * (1 + 1e-9))
        return min(passed, self.steps)

    @property
    def row_cost(self) -> float:
        """Service that the next call takes: rows × megapixels × the model's relative cost."""
        request = self.assignment.request
        assert request.width and request.height
        pixels = request.width * request.height / 1e6
        both = self.denoiser.guided or (self._query is not None and self._query.unconditional)
        return (2 if both else 1) * pixels * self.denoiser.model.info.relative_cost

    def rows(self) -> list[Row]:
        """What the sampler asks now. Starts it at the first ask."""
        if self._query is None:
            self._advance(None)
        assert self._query is not None
        return self.denoiser.rows(self._query)

    def answer(self, outputs: Sequence[torch.Tensor]) -> None:
        """Give the model's outputs for the rows asked for; the sampler goes on to its next query or its end."""
        assert self._query is not None
        estimate = self.denoiser.combine(self._query, outputs)
        self._advance(estimate)
        self._estimate = estimate

    def draw_preview(self) -> None:
        """Remember a rough look at the latest estimate."""
        self.preview = self.denoiser.model.projection.rgb(self._estimate.denoised)

    def close(self) -> None:
        """Stop the sampler where it stands. Its code has a say in that: it may raise anything, or hang."""
        if self._sampling is not None:
            with self._calling():
                if (close := getattr(self._sampling, "close", None)) is not None:  # any iterator may have been returned
                    close()

    def bury(self) -> Sampling | None:
        """The sampler's generator, forgotten here. Whoever lets go of it runs the sampler's code."""
        sampling, self._sampling = self._sampling, None
        return sampling

    def _calling(self) -> calling:
        return calling(self.assignment, "sampler", self.assignment.sampler.name)

    def _advance(self, estimate: Estimate | None) -> None:
        with self._calling():
            self._go_on(estimate)

    def _go_on(self, estimate: Estimate | None) -> None:
        name = self.assignment.sampler.name
        try:
            if self._sampling is None:
                self._sampling = self._begin()
            query = next(self._sampling) if estimate is None else self._sampling.send(estimate)
        except StopIteration as stop:
            if estimate is None:
                raise SamplerMisbehaved(f"sampler {name}: it ended without asking for the model") from None
            held, result = self.denoiser.held, self._checked(stop.value, "its result")
            self.latents = result if held is None else held.clean(result)
            return
        except BaseException as error:  # noqa: BLE001 - it may even raise SystemExit: that must not end our thread
            raise misbehaved(f"sampler {name}", error) from None
        if not isinstance(query, Query):
            raise SamplerMisbehaved(f"sampler {name}: it yielded {type(query).__name__}, not a Query")
        self._checked(query.x, "a query")
        if not isinstance(query.sigma, float | int) or not 0 < query.sigma < float("inf"):
            raise SamplerMisbehaved(f"sampler {name}: it asked at sigma {query.sigma!r}; a number above 0 is due")
        if self._calls_left == 0:
            told = f"sampler {name}: it asks more than the {self._promised} times that calls() promises"
            raise SamplerMisbehaved(told)
        self._calls_left -= 1
        self._query = query

    def _begin(self) -> Sampling:
        noise = SeededNoise(self.seed, self.shape)
        sampler, params = self.assignment.sampler, self.assignment.sampler_params
        first = noise()
        x = self.denoiser.model.network.law.begun(first, self.sigmas[0])
        if self.start is not None and self.start.latents is not None:
            x = self.start.latents + first * self.sigmas[0]
            if self.start.mask is not None and self.start.picture is None:  # one that sees the picture needs no hold
                held = Held(self.start.mask.latent, self.start.latents, first)
                self.denoiser = replace(self.denoiser, held=held)
        return sampler.run(x, self.sigmas, noise, params)

    def _fits(self, start: Start) -> Start:
        shape = self.shape if start.latents is None else tuple(start.latents.shape)
        if shape != self.shape:
            raise ModelError(f"model: its autoencoder encodes to {shape}, its network takes {self.shape}")
        return start

    def _checked(self, x: object, what: str) -> torch.Tensor:
        name = self.assignment.sampler.name
        if not isinstance(x, torch.Tensor) or x.dtype != torch.float32 or tuple(x.shape) != self.shape:
            found = f"{tuple(x.shape)} {x.dtype}" if isinstance(x, torch.Tensor) else type(x).__name__
            raise SamplerMisbehaved(f"sampler {name}: {what} is {found}, not {self.shape} torch.float32")
        if not torch.isfinite(x).all():
            raise SamplerMisbehaved(f"sampler {name}: {what} holds NaN or infinity")
        return x


def _checked_sigmas(assignment: Assignment, levels: NoiseLevels) -> list[float]:
    name = assignment.schedule.name
    steps = assignment.request.steps
    assert steps
    try:
        sigmas = [float(s) for s in assignment.schedule.sigmas(steps, levels, assignment.schedule_params)]
    except BaseException as error:  # noqa: BLE001 - as in a sampler
        raise misbehaved(f"schedule {name}", error) from None
    falling = all(a > b for a, b in pairwise(sigmas))
    if len(sigmas) != steps + 1 or sigmas[-1] != 0 or not falling or not sigmas[0] < float("inf"):
        raise SamplerMisbehaved(f"schedule {name}: {steps + 1} falling noise levels that end in 0 were due")
    return sigmas
