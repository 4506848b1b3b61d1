"""Jobs through an engine of their own, timed: what ``calotype bench`` and the benchmarks are made of."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from calotype.catalog import Catalog
from calotype.dispatch.assigning import assign
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
    stepped: float = 0.0
    """Its last step: what follows is decoding, post-processing and the PNG file."""
    finished: float = 0.0
    pngs: tuple[bytes, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict)
    row_buckets: tuple[int, ...] = ()
    """Row counts of a model call that may be shared; () if every picture has calls of its own."""


@dataclass(frozen=True)
class Burst:
    """Jobs that were handed over at once. Seconds; ``cpu`` is this process's CPU time."""

    wall: float
    cpu: float
    jobs: list[Taken]
    denoising_cpu: float = 0.0
    """CPU time until the last step of all."""

    @property
    def denoising(self) -> float:
        """From the first job's start to the last step of all."""
        return max(job.stepped for job in self.jobs) - min(job.started for job in self.jobs)


class Stand:
    """An engine with nothing around it; closed at the end of its ``with``.

    Implements :class:`~calotype.engine.assignment.HostListener`. What is heard of a job of an earlier burst is ignored.
    """

    def __init__(self, catalog: Catalog, *, device: str, threads: int, slots: int) -> None:
        from calotype.engine.host import InProcessHost

        self._catalog = catalog
        self.slots = slots
        self._folder = tempfile.TemporaryDirectory()
        self._store = ImageStore(Path(self._folder.name))
        self._changed = threading.Condition()
        self._taken: dict[str, Taken] = {}
        self._failure: str | None = None
        self._begun = self._cpu_begun = self._cpu_stepped = 0.0
        self._left = 0
        self._host = InProcessHost(self, device=device, threads=threads, slots=slots)
        try:
            self._host.preload(catalog.models[catalog.default_model])
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def burst(self, requests: Sequence[Request], people: Sequence[str] | None = None) -> Burst:
        """Run resolved requests, all handed over at once, each of a person of its own unless ``people`` says whose.

        Raises :class:`CalotypeError` if one fails; the others are then called off.
        """
        owners = people or [f"person {number}" for number in range(len(requests))]
        now = datetime.now(UTC)
        jobs = [
            Job(new_job_id(), person, request, JobStatus.RUNNING, now, epoch=1)
            for person, request in zip(owners, requests, strict=True)
        ]
        assignments = [assign(self._catalog, job, self._store) for job in jobs]
        taken = {job.id: Taken() for job in jobs}
        with self._changed:
            self._taken, self._left, self._failure = taken, len(jobs), None
            self._begun, self._cpu_begun = time.perf_counter(), time.process_time()
        try:
            self._run(assignments)
        finally:
            for job in jobs:
                self._host.cancel(job.id)  # nothing is left of one that has ended
            with self._changed:
                self._taken = {}
        wall, cpu = time.perf_counter() - self._begun, time.process_time() - self._cpu_begun
        return Burst(wall, cpu, list(taken.values()), self._cpu_stepped - self._cpu_begun)

    def _run(self, assignments: Sequence[Assignment]) -> None:
        for assignment in assignments:
            self._host.join(assignment)
        with self._changed:
            if not self._changed.wait_for(lambda: self._left == 0 or self._failure is not None, _WAIT):
                raise CalotypeError(f"the burst did not end within {_WAIT:.0f} s")
            if self._failure is not None:
                raise CalotypeError(f"a job of the burst failed: {self._failure}")

    def close(self) -> None:
        """End the engine's threads."""
        self._host.close()
        self._folder.cleanup()

    # what the host reports ---------------------------------------------------------------------------------------

    def started(self, job_id: str, notes: tuple[str, ...]) -> None:
        """See :class:`~calotype.engine.assignment.HostListener`."""
        with suppress(KeyError):
            self._taken[job_id].started = time.perf_counter() - self._begun

    def stepped(self, job_id: str, step: int, steps: int, preview: Preview | None) -> None:
        """See :class:`~calotype.engine.assignment.HostListener`."""
        with suppress(KeyError):
            taken = self._taken[job_id]
            taken.stepped = time.perf_counter() - self._begun
            self._cpu_stepped = time.process_time()
            if preview is not None and not taken.first_preview:
                taken.first_preview = taken.stepped

    def paused(self, job_id: str) -> None:
        """Nobody pauses a burst."""

    def resumed(self, job_id: str) -> None:
        """Nor goes on with one."""

    def wants_preview(self, job_id: str) -> bool:
        """Everybody looks."""
        return True

    def rendered(self, assignment: Assignment, pictures: Sequence[Rendered], record: Mapping[str, Any]) -> None:
        """See :class:`~calotype.engine.assignment.HostListener`."""
        with self._changed:
            taken = self._taken.get(assignment.job_id)
            if taken is None:
                return
            taken.finished = time.perf_counter() - self._begun
            taken.pngs = tuple(picture.png for picture in pictures)
            taken.timings, taken.row_buckets = record["timings"], tuple(record["row_buckets"])
            self._left -= 1
            self._changed.notify_all()

    def failed(self, assignment: Assignment, reason: str) -> None:
        """See :class:`~calotype.engine.assignment.HostListener`."""
        with self._changed:
            if assignment.job_id in self._taken:
                self._failure = reason
                self._changed.notify_all()
