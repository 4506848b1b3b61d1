"""A real in-process host and a listener that remembers."""

from __future__ import annotations

import tempfile
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from calotype.catalog import Catalog
from calotype.checkpoint import EMBEDDED, inspect
from calotype.dispatch.dispatcher import assign
from calotype.engine.assignment import Assignment, Rendered
from calotype.engine.host import InProcessHost
from calotype.engine.models import LoadedModel
from calotype.events import Preview
from calotype.images.store import ImageStore
from calotype.job import Job, JobStatus, new_job_id
from calotype.plugins.registry import Registry
from calotype.request import Request


class Bench:
    """Hands jobs to a host and waits for what becomes of them. Implements HostListener."""

    def __init__(self, catalog: Catalog, slots: int, threads: int = 1, **more: Any) -> None:
        self.catalog = catalog
        self._folder = tempfile.TemporaryDirectory()
        self.store = ImageStore(Path(self._folder.name))
        self.rendered_by: dict[str, Sequence[Rendered]] = {}
        self.records: dict[str, Mapping[str, Any]] = {}
        self.failures: dict[str, str] = {}
        self.steps: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        self.previews: defaultdict[str, list[Preview]] = defaultdict(list)
        self.order: list[str] = []
        self.standing: defaultdict[str, list[str]] = defaultdict(list)
        self.notes: dict[str, tuple[str, ...]] = {}
        self._changed = threading.Condition()
        self.host = InProcessHost(self, device="cpu", threads=threads, slots=slots, **more)

    def assignment(self, person: str = "p", **fields: Any) -> Assignment:
        request = self.catalog.resolve(Request.parse({"prompt": "blue cat", **fields}))
        job = Job(new_job_id(), person, request, JobStatus.RUNNING, datetime.now(UTC), epoch=1)
        return assign(self.catalog, job, self.store)

    def join(self, person: str = "p", **fields: Any) -> str:
        assignment = self.assignment(person, **fields)
        self.host.join(assignment)
        return assignment.job_id

    def pngs(self, job_id: str, timeout: float = 60) -> list[bytes]:
        self.wait(lambda: job_id in self.rendered_by or job_id in self.failures, timeout)
        assert job_id not in self.failures, self.failures[job_id]
        return [picture.png for picture in self.rendered_by[job_id]]

    def failure(self, job_id: str) -> str:
        self.wait(lambda: job_id in self.rendered_by or job_id in self.failures)
        return self.failures[job_id]

    def wait(self, condition: Any, timeout: float = 60) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, timeout), "nothing came of it in time"

    def alone(self, **fields: Any) -> list[bytes]:
        return self.pngs(self.join(**fields))

    def model(self, name: str = "calotype-emoji") -> LoadedModel:
        self.alone(steps=1, model=name)
        return self.host._shelf.find(self.catalog.models[name])

    # HostListener

    def started(self, job_id: str, notes: tuple[str, ...]) -> None:
        with self._changed:
            self.notes[job_id] = notes
            self.order.append(job_id)
            self._changed.notify_all()

    def stepped(self, job_id: str, step: int, steps: int, preview: Preview | None) -> None:
        with self._changed:
            self.steps[job_id].append((step, steps))
            if preview is not None:
                self.previews[job_id].append(preview)
            self._changed.notify_all()

    def paused(self, job_id: str) -> None:
        with self._changed:
            self.standing[job_id].append("paused")
            self._changed.notify_all()

    def resumed(self, job_id: str) -> None:
        with self._changed:
            self.standing[job_id].append("resumed")
            self._changed.notify_all()

    def wants_preview(self, job_id: str) -> bool:
        return True

    def rendered(self, assignment: Assignment, pictures: Sequence[Rendered], record: Mapping[str, Any]) -> None:
        with self._changed:
            self.rendered_by[assignment.job_id] = pictures
            self.records[assignment.job_id] = record
            self._changed.notify_all()

    def failed(self, assignment: Assignment, reason: str) -> None:
        with self._changed:
            self.failures[assignment.job_id] = reason
            self._changed.notify_all()


@pytest.fixture(scope="session")
def make_bench() -> type[Bench]:
    """For tests with models of their own."""
    return Bench


@pytest.fixture(scope="session")
def bench(registry: Registry, tiny_sd1: Path) -> Iterator[Bench]:
    bench = Bench(Catalog(registry, [inspect(EMBEDDED), inspect(tiny_sd1)]), slots=4)
    yield bench
    bench.host.close()
