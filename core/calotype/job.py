"""Job: a request that was accepted, and what became of it."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from calotype.request import Request


class JobStatus(StrEnum):
    """Where a job stands. It moves only along :data:`TRANSITIONS`."""

    QUEUED = "queued"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Nothing changes any more."""
        return not TRANSITIONS[self]

    def may_become(self, status: JobStatus) -> bool:
        """Whether the step to ``status`` is legal."""
        return status in TRANSITIONS[self]


TRANSITIONS: Mapping[JobStatus, frozenset[JobStatus]] = {
    JobStatus.QUEUED: frozenset({JobStatus.RUNNING, JobStatus.FAILED, JobStatus.CANCELLED}),
    # back to the queue: its host died or was drained before the result was recorded
    JobStatus.RUNNING: frozenset({JobStatus.QUEUED, JobStatus.FINISHED, JobStatus.FAILED, JobStatus.CANCELLED}),
    JobStatus.FINISHED: frozenset(),
    JobStatus.FAILED: frozenset(),
    JobStatus.CANCELLED: frozenset(),
}


@dataclass(frozen=True)
class Picture:
    """A finished picture. ``sha256`` of its PNG file is its name in the image store."""

    index: int
    seed: int
    sha256: str
    width: int
    height: int
    notes: tuple[str, ...] = ()
    """What a person should know, e.g. that a post-processor was skipped."""


@dataclass(frozen=True)
class Job:
    """One row of the ledger. Times are UTC."""

    id: str
    person: str
    request: Request
    """Resolved: it holds no default any more."""
    status: JobStatus
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None
    epoch: int = 0
    """Raised by every claim; a result that carries an older one is stale and changes nothing."""
    attempts: int = 0
    weight: float = 1.0
    """Its person's weight when it was claimed."""
    cost: float = 0.0
    """rows × megapixels × model calls × the model's measured cost."""
    error: str | None = None
    """Why it failed, in words for the person who asked."""
    pictures: tuple[Picture, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)
    """Everything needed to make the picture again: model hash, versions, threads, row bucket, device; timings."""
    paused: bool = False
    """It runs, and stands still until it is resumed. The running service knows, not the ledger: it ends with a stop."""
    reply_to: Mapping[str, Any] | None = None
    """Where a front end wants the result delivered (outbox), opaque to the core."""
    account: str | None = None
    """The account that submitted it, where that is not the person's own key."""

    @property
    def submitter(self) -> str:
        """Key of the account that submitted it."""
        return self.account or self.person


def new_job_id() -> str:
    """Sortable by time, 80 random bits: unguessable, so that an id is no way into somebody else's job."""
    return f"{int(time.time() * 1000):012x}{secrets.token_hex(10)}"


def as_json(job: Job) -> dict[str, Any]:
    """A job as the HTTP API and ``--json`` show it: plain values, no person, times in ISO 8601."""
    return {
        "job_id": job.id,
        "status": job.status.value,
        "paused": job.paused,
        "request": job.request.model_dump(mode="json"),
        "created": job.created.isoformat(),
        "started": job.started.isoformat() if job.started else None,
        "finished": job.finished.isoformat() if job.finished else None,
        "error": job.error,
        "pictures": [
            {
                "index": picture.index,
                "seed": picture.seed,
                "sha256": picture.sha256,
                "width": picture.width,
                "height": picture.height,
                "notes": list(picture.notes),
            }
            for picture in job.pictures
        ],
        "record": dict(job.record),
    }
