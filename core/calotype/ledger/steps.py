"""The latest step of each running job, for those who watch in other processes. Nothing here is durable.

One row a job, written by the worker that runs it and deleted when it ends.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, delete, func, select

from calotype.job import JobStatus
from calotype.ledger.database import Database
from calotype.ledger.rows import put
from calotype.ledger.tables import clock, jobs, steps

_CHUNK: Final = 500


@dataclass(frozen=True)
class Step:
    """Where a running job stands. ``preview`` is rows of RGB bytes, ``size`` its (height, width)."""

    step: int = 0
    steps: int = 0
    notes: tuple[str, ...] = ()
    paused: bool = False
    refusal: str | None = None
    """Why it could not be paused when that was asked for last."""
    size: tuple[int, int] | None = None
    preview: bytes | None = None

    def as_json(self) -> dict[str, Any]:
        """All but the preview."""
        return {
            "step": self.step, "steps": self.steps, "notes": list(self.notes), "paused": self.paused,
            "refusal": self.refusal, "size": None if self.size is None else list(self.size),
        }  # fmt: skip

    @classmethod
    def read(cls, event: Mapping[str, Any], preview: bytes | None) -> Step:
        """What :meth:`as_json` wrote."""
        size = event.get("size")
        return cls(
            step=event["step"],
            steps=event["steps"],
            notes=tuple(event["notes"]),
            paused=event["paused"],
            refusal=event.get("refusal"),
            size=None if size is None else (size[0], size[1]),
            preview=preview,
        )


class Standing(NamedTuple):
    """A job as others see it."""

    status: JobStatus
    epoch: int
    step: Step | None


class Look(NamedTuple):
    """What is the same for all jobs: looked at every now and then."""

    paused: frozenset[str]
    queue: tuple[int, float]
    """Changes when a job was submitted or claimed."""


class Steps:
    """The table, and what watchers read with it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, latest: Mapping[str, Step]) -> None:
        """Puts these in the place of what was there."""
        self._database.write(write, latest)

    def clear(self, job_ids: Collection[str]) -> None:
        """These have ended, or wait again."""
        self._database.write(clear, list(job_ids))

    def sweep(self) -> None:
        """Clears what workers that were killed left behind."""
        self._database.write(sweep)

    def standing(self, job_ids: Collection[str]) -> dict[str, Standing]:
        """Where these stand, from one snapshot. Unknown ones are left out."""
        return self._database.read(standing, list(job_ids))

    def look(self) -> Look:
        """Which jobs are paused, and whether the queue has changed."""
        return self._database.read(look)


def write(connection: Connection, latest: Mapping[str, Step]) -> None:
    """In the order of the ids, so that no two processes wait for each other."""
    for job_id, step in sorted(latest.items()):
        put(connection, steps, {"job_id": job_id}, {"event": step.as_json(), "preview": step.preview})


def clear(connection: Connection, job_ids: Collection[str]) -> None:
    """Deletes their rows."""
    connection.execute(delete(steps).where(steps.c.job_id.in_(sorted(job_ids))))


def sweep(connection: Connection) -> None:
    """Deletes the rows of whatever does not run."""
    running = select(jobs.c.id).where(jobs.c.status == JobStatus.RUNNING)
    connection.execute(delete(steps).where(steps.c.job_id.not_in(running)))


def standing(connection: Connection, job_ids: list[str]) -> dict[str, Standing]:
    """Two short queries for each few hundred ids."""
    found: dict[str, Standing] = {}
    for begin in range(0, len(job_ids), _CHUNK):
        some = job_ids[begin : begin + _CHUNK]
        of_steps = connection.execute(select(steps).where(steps.c.job_id.in_(some)))
        latest = {row.job_id: Step.read(row.event, row.preview) for row in of_steps}
        rows = connection.execute(select(jobs.c.id, jobs.c.status, jobs.c.epoch).where(jobs.c.id.in_(some)))
        for job_id, status, epoch in rows:
            found[job_id] = Standing(JobStatus(status), epoch, latest.get(job_id))
    return found


def look(connection: Connection) -> Look:
    """One row a running job, and the ends of two indexes."""
    rows = connection.execute(select(steps.c.job_id, steps.c.event)).all()
    newest = connection.scalar(select(func.max(jobs.c.seq))) or 0
    vtime = connection.scalar(select(clock.c.vtime)) or 0.0
    return Look(frozenset(row.job_id for row in rows if row.event.get("paused")), (newest, vtime))
