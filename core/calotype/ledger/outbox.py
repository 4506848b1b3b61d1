"""The outbox: results that a front end still has to bring to the person who asked.

A row is written in the transaction that records the result, and goes when the front end says that it arrived. So
a delivery is made at least once, however often either side is killed in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, exists, insert, or_, select, update

from calotype.job import Job
from calotype.ledger.rows import now, to_jobs
from calotype.ledger.tables import jobs, outbox


@dataclass(frozen=True)
class Delivery:
    """A result on its way: ``job`` is finished, failed or cancelled, and ``job.reply_to`` says where it goes."""

    id: int
    job: Job
    attempts: int = 0
    """How often it was tried in vain."""
    error: str | None = None
    """Why the last try failed."""

    @property
    def reply_to(self) -> Mapping[str, Any]:
        """The address, in the front end's own words."""
        return self.job.reply_to or {}


def address(reply_to: Mapping[str, Any] | None) -> str | None:
    """The front end that owns the address; None without one. Raises ValueError if it names nobody."""
    if reply_to is None:
        return None
    front_end = reply_to.get("front_end")
    if not isinstance(front_end, str) or not front_end:
        raise ValueError("reply_to['front_end'] must name the front end that delivers")
    return front_end


def post(connection: Connection, job_id: str, reply_to: Mapping[str, Any] | None) -> None:
    """Puts the job's result into its front end's outbox, if anybody waits for it."""
    front_end = address(reply_to)
    if front_end is not None:
        connection.execute(insert(outbox).values(job_id=job_id, front_end=front_end))


def is_awaited() -> ColumnElement[bool]:
    """Whether a job's result is still to be brought to somebody, as part of a query for jobs."""
    return exists().where(outbox.c.job_id == jobs.c.id, ~outbox.c.given_up)


def due(connection: Connection, front_end: str, limit: int) -> list[Delivery]:
    """Those that may be tried now, oldest first."""
    query = (
        select(outbox.c.id, outbox.c.job_id, outbox.c.attempts, outbox.c.error)
        .where(outbox.c.front_end == front_end, ~outbox.c.given_up)
        .where(or_(outbox.c.retry_at.is_(None), outbox.c.retry_at <= now()))
        .order_by(outbox.c.id)
        .limit(limit)
    )
    rows = connection.execute(query).all()
    of_rows = select(jobs).where(jobs.c.id.in_([row.job_id for row in rows]))
    found = {job.id: job for job in to_jobs(connection, connection.execute(of_rows).mappings())}
    return [Delivery(row.id, found[row.job_id], row.attempts, row.error) for row in rows]


def expire(connection: Connection, ended_before: datetime) -> list[str]:
    """Gives up what is still to be delivered of jobs that ended before. Those jobs' ids."""
    late = select(jobs.c.id).where(jobs.c.id == outbox.c.job_id, jobs.c.finished < ended_before).exists()
    given_up = update(outbox).where(~outbox.c.given_up, late).values(given_up=True, error="it took too long")
    return list(connection.scalars(given_up.returning(outbox.c.job_id)))


def delivered(connection: Connection, delivery_id: int) -> None:
    """It arrived. Saying so twice is fine."""
    connection.execute(delete(outbox).where(outbox.c.id == delivery_id))


def failed(connection: Connection, delivery_id: int, reason: str, retry_at: datetime | None) -> None:
    """It did not arrive; it is tried again at ``retry_at``, or never (None): the row then stays for the operator."""
    connection.execute(
        update(outbox)
        .where(outbox.c.id == delivery_id)
        .values(attempts=outbox.c.attempts + 1, error=reason, retry_at=retry_at, given_up=retry_at is None)
    )
