"""A job that an engine has taken in, and the book of those that are here."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from calotype.engine.assignment import Assignment, Rendered
from calotype.engine.models import LoadedModel
from calotype.engine.run import Run
from calotype.engine.starting import Start
from calotype.engine.watchdog import Abandoned
from calotype.events import Preview
from calotype.families.adapters import Chosen
from calotype.families.network import Shape

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Resident:
    """A job that is here: its runs, and when what happened (seconds of the monotonic clock)."""

    assignment: Assignment
    start: Start | None = None
    """The picture that it starts from, once it is encoded; None for a start from noise."""
    loras: Chosen | None = None
    """What it is made with, once it is read."""
    runs: list[Run] = field(default_factory=list)
    pictures: dict[int, Rendered] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    joined: float = field(default_factory=time.perf_counter)
    admitted: float = 0.0
    begun: float = 0.0
    denoised: float = 0.0
    tick_seconds: float = 0.0
    """Of the ticks it took part in, samplers' arithmetic included."""
    last_preview: float = 0.0
    shown: Preview | None = None
    paused: bool = False
    """It takes part in no tick. Changed by the engine's thread only."""
    handed_over: set[int] = field(default_factory=set)
    """Indices of the pictures that were given to be finished."""
    hung: dict[str, str] = field(default_factory=dict)
    """Post-processors and reviews that did not come back, and what to say of each: further pictures do without."""

    @property
    def step(self) -> int:
        """Steps done over all pictures."""
        return sum(run.step for run in self.runs)

    @property
    def steps(self) -> int:
        """Steps there are over all pictures."""
        return sum(run.steps for run in self.runs)

    def shape(self, model: LoadedModel) -> Shape:
        """(C, H, W) of its latents."""
        request = self.assignment.request
        assert request.width and request.height
        return model.latent_shape(request.width, request.height)

    def record(self, pictures: Sequence[Rendered]) -> dict[str, Any]:
        """What its history should know of how the pictures were made. Times in seconds."""
        run = self.runs[0]
        model, now = run.denoiser.model, time.perf_counter()
        return {
            "model": {"name": model.info.name, "family": model.info.family, "sha256": model.sha256},
            "dtype": "float32",
            **({"loras": self._loras()} if self.loras else {}),
            "row_buckets": list(run.buckets),
            "timings": {
                "admission_s": round(self.admitted - self.joined, 4),
                "waiting_s": round(self.begun - self.admitted, 4),
                "denoising_s": round(self.denoised - self.begun, 4),
                "ticks_s": round(self.tick_seconds, 4),
                "model_s": round(sum(run.model_seconds for run in self.runs), 4),
                "finishing_s": round(now - self.denoised, 4),
                **{f"{stage}_s": round(sum(p.seconds[stage] for p in pictures), 4) for stage in pictures[0].seconds},
            },
        }

    def _loras(self) -> list[dict[str, Any]]:
        chosen = zip(self.assignment.loras, self.loras or (), strict=True)
        return [{"name": name, "weight": weight, "sha256": lora.sha256} for (name, _, weight), (lora, _) in chosen]

    def stop(self) -> None:
        """Stop its samplers where they stand."""
        for run in self.runs:
            try:
                run.close()
            except Abandoned:
                raise
            except BaseException:  # a stranger's generator may raise even on close; it is gone either way
                log.exception("job %s: its sampler raised while it was closed", self.assignment.job_id)


Fail = Callable[[Resident, BaseException], None]
"""Who is told that a job failed, and why."""


class Residents:
    """Who is here: from :meth:`add` until the job is done, has failed or is called off. Thread-safe.

    Whoever takes a resident out is the only one who reports its end.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._here: dict[str, Resident] = {}

    def add(self, resident: Resident) -> None:
        """It comes in."""
        with self._lock:
            self._here[resident.assignment.job_id] = resident

    def find(self, job_id: str) -> Resident | None:
        """The resident of a job."""
        return self._here.get(job_id)

    def has(self, resident: Resident) -> bool:
        """Whether it is still here."""
        return self._here.get(resident.assignment.job_id) is resident

    def take_out(self, resident: Resident) -> bool:
        """Whether it was still here."""
        with self._lock:
            if not self.has(resident):
                return False
            del self._here[resident.assignment.job_id]
            return True

    def clear(self) -> None:
        """Nobody is here any more."""
        with self._lock:
            self._here.clear()

    def folders(self) -> set[Path]:
        """Of the models that they need."""
        with self._lock:
            return {resident.assignment.model.folder for resident in self._here.values()}
