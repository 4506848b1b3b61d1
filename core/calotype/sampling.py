"""The words samplers and schedules speak.

A sampler never calls the model. It *asks*: ``estimate = yield Query(x, sigma)``. Whoever drives the generator
answers, together with the queries of every other run, by one call of the model. So a sampler knows nothing of
prompts, guidance, batches or other users, and a solver of any order fits.

torch is not imported here: a program that only wants names and limits must start at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol, TypeAlias

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import torch

Latents: TypeAlias = "torch.Tensor"
"""One picture in latent space: (C, H, W), float32, on the CPU, ``x = x0 + sigma * noise``.
Never changed in place."""

Sigmas: TypeAlias = Sequence[float]
"""Noise levels (standard deviations, in units of the latents' own), strictly falling, the last one 0."""


class Params(BaseModel):
    """Base of a plugin's parameters, declared once as fields with defaults, limits and descriptions.

    Page controls, the command line's ``--set`` and the API's validation are made from it. Every field needs a
    default, so that a plugin runs without any parameter given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


_Params: TypeAlias = Params  # the name for annotations inside classes that have an attribute ``Params``


class NoParams(Params):
    """For a plugin that has nothing to set."""


class Query(NamedTuple):
    """What a sampler asks: the denoised estimate of ``x`` (C, H, W), float32, at noise level ``sigma`` > 0.

    ``unconditional`` asks for the estimate without the prompt as well (CFG++ samplers need it).
    """

    x: Latents
    sigma: float
    unconditional: bool = False


class Estimate(NamedTuple):
    """The answer: ``denoised`` is the guided x0 (C, H, W), float32; ``unconditional`` is x0 without the
    prompt where the query asked for it, else None.
    """

    denoised: Latents
    unconditional: Latents | None


Sampling: TypeAlias = Generator[Query, Estimate, Latents]
"""A run of a sampler: yields queries, is sent estimates, returns the final latents."""


class NoiseSource(Protocol):
    """The noise of one run. Drawn on the CPU from the run's own seed: the same on every device, in any company."""

    def __call__(self) -> Latents:
        """The next draw of i.i.d. unit normals, (C, H, W), float32, in call order."""
        ...


class NoiseLevels(Protocol):
    """The noise levels a model was trained on, for schedules. Training steps run from 0 (clean) to ``steps - 1``."""

    @property
    def steps(self) -> int:
        """Number of training steps, 1000 for Stable Diffusion."""
        ...

    @property
    def sigma_min(self) -> float:
        """Noise level of training step 0."""
        ...

    @property
    def sigma_max(self) -> float:
        """Highest usable noise level: that of the last step, or the last finite one under zero terminal SNR."""
        ...

    def sigma(self, t: float) -> float:
        """Noise level at training step ``t``, 0 … steps - 1, interpolated in log sigma."""
        ...

    def t(self, sigma: float) -> float:
        """Training step at which the noise level is ``sigma``: inverse of :meth:`sigma`, clamped to the range."""
        ...


class Sampler(ABC):
    """A solver of the reverse diffusion ODE or SDE. Stateless: one instance serves every job at once."""

    name: ClassVar[str]
    """How it is asked for: lower case, ``[a-z0-9_]``, unique among samplers."""
    label: ClassVar[str]
    """How a person reads it."""
    Params: ClassVar[type[_Params]] = NoParams
    aliases: ClassVar[tuple[str, ...]] = ()
    """Names that other programs have for it; a request may use them, and is resolved to ``name``."""
    distilled: ClassVar[bool] = False
    """Whether it is for models whose estimate is the end of the path (consistency models), not the mean of all ends."""

    @abstractmethod
    def calls(self, steps: int) -> int:
        """Model calls for ``steps`` steps: cost, progress, and an upper bound that is enforced."""

    @abstractmethod
    def run(self, x: Latents, sigmas: Sigmas, noise: NoiseSource, params: _Params) -> Sampling:
        """From ``x`` at ``sigmas[0]`` to the latents at ``sigmas[-1]`` = 0.

        ``x`` is (C, H, W), float32. Yields :class:`Query`, receives :class:`Estimate`, returns the latents.
        From a picture, ``sigmas`` are the last of a schedule's, one step at least, and ``sigmas[0]`` may be small.
        """


class Schedule(ABC):
    """A sequence of noise levels for a number of steps. Stateless."""

    name: ClassVar[str]
    label: ClassVar[str]
    Params: ClassVar[type[_Params]] = NoParams
    aliases: ClassVar[tuple[str, ...]] = ()
    """As a sampler's."""

    @abstractmethod
    def sigmas(self, steps: int, levels: NoiseLevels, params: _Params) -> Sigmas:
        """``steps + 1`` noise levels, strictly falling from ``levels.sigma_max``, the last one 0."""
