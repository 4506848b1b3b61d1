"""A job that an engine has taken in, and the book of those that are here."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import torch

from calotype.engine.assignment import Assignment, Rendered
from calotype.engine.models import LoadedModel
from calotype.engine.run import Run
from calotype.events import Preview


@dataclass(eq=False)
class Resident:
    """A job that is here: its runs, and when what happened (seconds of the monotonic clock)."""

    assignment: Assignment
    start: torch.Tensor | None = None
    """Latents of the picture that it starts from, once they are encoded; None for a start from noise."""
    runs: list[Run] = field(default_factory=list)
    pictures: dict[int, Rendered] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    joined: float = field(default_factory=time.perf_counter)
    admitted: float = 0.0
    begun: float = 0.0
    denoised: float = 0.0
    model_seconds: float = 0.0
    last_preview: float = 0.0
    shown: Preview | None = None
    paused: bool = False
    """It takes part in no tick. Changed by the engine's thread only."""
    handed_over: set[int] = field(default_factory=set)
    """Indices of the pictures that were given to be finished."""
    hung: dict[str, str] = field(default_factory=dict)
    """Post-processors that did not come back, and what to say of each: its further pictures do without."""

    @property
    def step(self) -> int:
        """Steps done over all pictures."""
        return sum(run.step for run in self.runs)

    @property
    def steps(self) -> int:
        """Steps there are over all pictures."""
        return sum(run.steps for run in self.runs)

    def shape(self, model: LoadedModel) -> tuple[int, int, int]:
        """(C, H, W) of its latents."""
        request = self.assignment.request
        assert request.width and request.height
        return model.latent_shape(request.width, request.height)


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
