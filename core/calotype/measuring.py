"""Jobs through an engine of their own, timed: what ``calotype bench`` and the benchmarks are made of."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from calotype.catalog import Catalog
from calotype.dispatch.dispatcher import assign
from calotype.engine.assignment import Assignment, Rendered
from calotype.errors import CalotypeError
from calotype.events import Preview
from calotype.images.store import ImageStore
from calotype.job import Job, JobStatus, new_job_id
from calotype.request import Request

_WAIT: Final = 1800.0


@dataclass
class Taken:
    """What one job took, in seconds since the burst began."""

    started: float = 0.0
    first_preview: float = 0.0
    finished: float = 0.0
    pngs: tuple[bytes, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Burst:
    """Jobs that were handed over at once. Seconds; ``cpu`` is this process's CPU time."""

    wall: float
    cpu: float
    jobs: list[Taken]


class Stand:
    """An engine with nothing around it. Implements :class:`~calotype.engine.assignment.HostListener`."""

    def __init__(self, catalog: Catalog, *, device: str, threads: int, slots: int) -> None:
        from calotype.engine.host import InProcessHost

        self._catalog = catalog
        self._folder = tempfile.TemporaryDirectory()
        self._store = ImageStore(Path(self._folder.name))
        self._changed = threading.Condition()
        self._taken: dict[str, Taken] = {}
        self._failure: str | None = None
        self._begun = 0.0
        self._left = 0
        self._host = InProcessHost(self, device=device, threads=threads, slots=slots)
        self._host.preload(catalog.models[catalog.default_model])

    def burst(self, requests: Sequence[Request], people: Sequence[str] | None = None) -> Burst:
        """Run resolved requests, all handed over at once, each of a person of its own unless ``people`` says whose.

        Raises :class:`CalotypeError` if one fails.
        """
        owners = people or [f"person {number}" for number in range(len(requests))]
        now = datetime.now(UTC)
        jobs = [
            Job(new_job_id(), person, request, JobStatus.RUNNING, now, epoch=1)
            for person, request in zip(owners, requests, strict=True)
        ]
        assignments = [assign(self._catalog, job, self._store) for job in jobs]
        self._taken = {job.id: Taken() for job in jobs}
        self._left, self._failure = len(jobs), None
        self._begun, cpu = time.perf_counter(), time.process_time()
        for assignment in assignments:
            self._host.join(assignment)
        with self._changed:
            if not self._changed.wait_for(lambda: self._left == 0 or self._failure is not None, _WAIT):
                raise CalotypeError(f"the burst did not end within {_WAIT:.0f} s")
        if self._failure is not None:
            raise CalotypeError(f"a job of the burst failed: {self._failure}")
        taken = [self._taken[job.id] for job in jobs]
        return Burst(time.perf_counter() - self._begun, time.process_time() - cpu, taken)

    def close(self) -> None:
        """End the engine's threads."""
        self._host.close()
        self._folder.cleanup()

    # what the host reports ---------------------------------------------------------------------------------------

    def started(self, job_id: str, notes: tuple[str, ...]) -> None:
        """See :class:`~calotype.engine.assignment.HostListener`."""
        self._taken[job_id].started = time.perf_counter() - self._begun

    def stepped(self, job_id: str, step: int, steps: int, preview: Preview | None) -> None:
        """See :class:`~calotype.engine.assignment.HostListener`."""
        taken = self._taken[job_id]
        if preview is not None and not taken.first_preview:
            taken.first_preview = time.perf_counter() - self._begun

    def wants_preview(self, job_id: str) -> bool:
        """Everybody looks."""
        return True

    def rendered(self, assignment: Assignment, pictures: Sequence[Rendered], record: Mapping[str, Any]) -> None:
        """See :class:`~calotype.engine.assignment.HostListener`."""
        with self._changed:
            taken = self._taken[assignment.job_id]
            taken.finished = time.perf_counter() - self._begun
            taken.pngs = tuple(picture.png for picture in pictures)
            taken.timings = record["timings"]
            self._left -= 1
            self._changed.notify_all()

    def failed(self, assignment: Assignment, reason: str) -> None:
        """See :class:`~calotype.engine.assignment.HostListener`."""
        with self._changed:
            self._failure = reason
            self._changed.notify_all()
