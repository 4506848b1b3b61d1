"""Loads a model: its network, its previews, the sha256 of what was loaded; and measures how its calls behave here."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import inf, prod
from typing import Final, NamedTuple

import torch

from calotype.checkpoint import ModelInfo, fingerprint
from calotype.engine import memory
from calotype.engine.exact import CANDIDATES, fix_small_linears, probe_buckets
from calotype.engine.hints import Hints, hints_of
from calotype.engine.previews import Projection
from calotype.errors import ModelError, SetupError
from calotype.families import parts
from calotype.families.adapters import Chosen
from calotype.families.network import Inputs, Network, Shape, Signature
from calotype.sampling import NoiseLevels

_MEASURE_AGAIN: Final = 60.0
"""Seconds after which a call that did not fit into memory is measured again."""
PROBE_LIMIT: Final = 2e10
"""Parameters × latent pixels up to which row counts are probed on a CPU. Above, one picture a call fills the
machine: batching gains nothing there, and a probe would take minutes."""
log = logging.getLogger(__name__)


class Key(NamedTuple):
    """What the calls of a model have in common that behave alike, and that can be one call."""

    shape: Shape
    signature: Signature
    loras: Chosen = ()


@dataclass
class LoadedModel:
    """A model in memory, float32, in evaluation mode, on one device. Shared by every job; never changed."""

    info: ModelInfo
    sha256: str
    device: torch.device
    network: Network
    projection: Projection
    hints: Hints | None = None
    """None if its folder does not say what it was taught."""
    _buckets: dict[Key, tuple[int, ...]] = field(default_factory=dict)
    _row_bytes: dict[Key, float] = field(default_factory=dict)
    _tried: dict[Key, float] = field(default_factory=dict)
    """When that was measured last, by the monotonic clock."""

    @cached_property
    def size(self) -> int:
        """Bytes that its weights take."""
        tensors = [t for part in self.network.modules() for t in (*part.parameters(), *part.buffers())]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def latent_shape(self, width: int, height: int) -> Shape:
        """(C, H, W) of the latents of a picture of ``width`` × ``height`` pixels."""
        return (self.info.latent_channels, height // self.info.vae_scale, width // self.info.vae_scale)

    @property
    def levels(self) -> NoiseLevels:
        """The noise levels of a picture of its own size."""
        return self.network.levels(self.latent_shape(*self.info.default_size))

    @torch.inference_mode()
    def predict(self, x: torch.Tensor, t: torch.Tensor, inputs: Inputs, loras: Chosen = ()) -> torch.Tensor:
        """One call: (N, C, H, W), (N,) training steps, inputs with a leading N → (N, C, H, W), float32, on the CPU."""
        if not loras:
            return self.network.predict(x, t, inputs)
        with self.network.adapters.use(loras):
            return self.network.predict(x, t, inputs)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """See :meth:`Network.decode`."""
        return self.network.decode(latents)

    def encode(self, rgb: torch.Tensor) -> torch.Tensor:
        """See :meth:`Network.encode`."""
        return self.network.encode(rgb)

    def knows(self, key: Key) -> bool:
        """Whether :meth:`buckets` answers at once."""
        return key in self._buckets

    def buckets(self, key: Key) -> tuple[int, ...]:
        """Row counts of a model call that agree bit for bit for latents and inputs of these shapes.

        () if every picture needs calls of its own. Measured at the first ask, and how much memory a row takes with it.
        """
        if key not in self._buckets:
            started = time.perf_counter()
            found = self._probe(key)
            if found:
                self._measure(key)
            took = time.perf_counter() - started
            self._buckets[key] = found
            told = f"row counts {found} agree" if found else "no row counts agree: pictures do not share calls"
            log.debug("%s, latents %s, inputs %s, %.1f s: %s", self.info.name, *key[:2], took, told)
        return self._buckets[key]

    def fitting(self, key: Key) -> tuple[int, ...]:
        """Those :meth:`buckets` whose calls take no more than their share of the memory that is free now.

        At least the smallest: somebody has to be served, and a call that fails after all is halved.
        """
        buckets = self.buckets(key)
        if buckets and key not in self._row_bytes and time.monotonic() - self._tried.get(key, -inf) > _MEASURE_AGAIN:
            self._measure(key)
        row = self._row_bytes.get(key, inf)
        allowed = memory.CALL_SHARE * memory.free(self.device)
        return tuple(rows for rows in buckets if rows * row <= allowed) or buckets[:1]

    def _measure(self, key: Key) -> None:
        """Note the bytes that a call takes for each row, unless not even two rows fit now."""
        x, t, inputs = self._samples(key)
        self._tried[key] = time.monotonic()
        try:
            self.predict(x, t, inputs, key.loras)  # the first call of a kind takes more, once
            peak = memory.peak(self.device, lambda: self.predict(x, t, inputs, key.loras))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        else:
            self._row_bytes[key] = peak / len(x)

    def _probe(self, key: Key) -> tuple[int, ...]:
        if self.device.type != "cpu":
            return CANDIDATES  # no promise of equal bits there; a few shapes keep its caches warm
        if self.info.parameters * prod(key.shape[1:]) > PROBE_LIMIT:
            return ()
        x, t, inputs = self._samples(key)

        def call(rows: Sequence[int]) -> torch.Tensor:
            return self.predict(x[rows], t[rows], {name: value[rows] for name, value in inputs.items()}, key.loras)

        return probe_buckets(call)

    def _samples(self, key: Key) -> tuple[torch.Tensor, torch.Tensor, Mapping[str, torch.Tensor]]:
        """Two rows of something: arguments of :meth:`predict`."""
        shape, inputs, _ = key
        generator = torch.Generator().manual_seed(0)
        x = torch.randn((2, *shape), generator=generator)
        t = torch.rand(2, generator=generator) * self.levels.steps
        return x, t, {name: torch.randn((2, *size), generator=generator) for name, size in inputs}


def load(info: ModelInfo, device: torch.device) -> LoadedModel:
    """Read a model folder into memory. Raises :class:`ModelError` in one line if it does not fit together."""
    parts.quiet()
    started = time.perf_counter()
    sha256 = fingerprint(info)
    if info.sha256 not in (None, sha256):
        raise ModelError(
            f"model: {info.name}: the files in {info.folder} are not those that were added (sha256 {sha256[:12]}… "
            f"instead of {str(info.sha256)[:12]}…); bring them back, or add it again: calotype models add"
        )
    try:
        network = info.kind.load(info.folder, info.facts, device)
    except ModelError as error:
        raise ModelError(f"model: {info.name}: {str(error).removeprefix('model: ')}") from error
    except Exception as error:  # the libraries raise anything at all for a bad file; the log keeps the traceback
        log.exception("model %s could not be loaded", info.folder)
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise ModelError(f"model: {info.name} could not be loaded: {first_line}") from error
    fix_small_linears(network.denoiser)
    _ = network.adapters  # made here and now: several threads ask for it later
    projection = Projection.fit(network.decode, info.latent_channels, info.vae_scale)
    pooled = network.pooled()
    hints = None if pooled is None else hints_of(info.vocabulary, pooled, info.name)
    log.info("loaded %s on %s in %.1f s", info.name, device, time.perf_counter() - started)
    return LoadedModel(info, sha256, device, network, projection, hints)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a call needed more memory than there is; a CPU's allocator raises a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError) or (isinstance(error, RuntimeError) and "memory" in str(error))


def resolve_device(wanted: str) -> torch.device:
    """``auto`` is the best there is. Raises :class:`SetupError` for one that this machine does not have."""
    have = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if have[name]))
    if not have[wanted]:
        there = ", ".join(name for name, present in have.items() if present)
        raise SetupError(f"CALOTYPE_DEVICE: {wanted} is not available to this PyTorch; use auto or {there}")
    return torch.device(wanted)
