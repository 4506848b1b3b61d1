"""What is kept for how long, when it is size that counts; and who is forgotten."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, delete, exists, or_, select

from calotype.job import JobStatus
from calotype.ledger import fair, outbox
from calotype.ledger.rows import now
from calotype.ledger.tables import (
    accounts,
    clock,
    init_images,
    jobs,
    masks,
    persons,
    pictures,
    scheduled_prompts,
    uploads,
)
from calotype.roles import MEMBER, VISITOR

_OVER: Final = [status for status in JobStatus if status.final]


def busy_since(connection: Connection) -> datetime | None:
    """When the job began that has been running longest. None if none is."""
    started = jobs.c.started
    running = select(started).where(jobs.c.status == JobStatus.RUNNING, started.is_not(None))
    return connection.scalar(running.order_by(started).limit(1))


def is_done_with(finished_before: datetime) -> ColumnElement[bool]:
    """Of a job that ended before: it is no favourite, and nobody waits for its result any more."""
    return jobs.c.status.in_(_OVER) & (jobs.c.finished < finished_before) & ~jobs.c.favourite & ~outbox.is_awaited()


def oldest(connection: Connection, after: int, finished_before: datetime, limit: int) -> list[tuple[int, list[str]]]:
    """Number and picture files of jobs that may go, oldest first."""
    over = select(jobs.c.seq, jobs.c.id).where(jobs.c.seq > after, is_done_with(finished_before))
    numbers = {row.id: row.seq for row in connection.execute(over.order_by(jobs.c.seq).limit(limit))}
    files: dict[str, list[str]] = defaultdict(list)
    for table in (pictures, init_images, masks):
        query = select(table.c.job_id, table.c.sha256).where(table.c.job_id.in_(numbers))
        for job_id, sha256 in connection.execute(query):
            files[job_id].append(sha256)
    return [(seq, files[job_id]) for job_id, seq in numbers.items()]


def expire(connection: Connection, numbers: Sequence[int], finished_before: datetime) -> int:
    """Deletes these jobs, with pictures and outbox rows, unless they may not go by now."""
    gone = delete(jobs).where(jobs.c.seq.in_(numbers), is_done_with(finished_before))
    people = list(connection.scalars(gone.returning(jobs.c.person)))
    if people:
        fair.forget(connection, set(people))
    return len(people)


def forget_strangers(connection: Connection, limit: int) -> int:
    """Deletes bare rows that erasing left, once they do not matter any more: see :mod:`~calotype.ledger.erasing`."""
    nothing = [
        ~exists().where(table.c.person == persons.c.key) for table in (jobs, accounts, scheduled_prompts, uploads)
    ]
    today = now().date().isoformat()
    # only those that fair.forget takes, or some that must stay would be looked at again and again
    query = select(persons.c.key).where(
        persons.c.name == "",
        persons.c.banned.is_(None),
        persons.c.role.in_((VISITOR, MEMBER)),
        persons.c.vtime <= select(clock.c.vtime).where(clock.c.id == 1).scalar_subquery(),
        or_(persons.c.spent == 0, persons.c.spent_on.is_(None), persons.c.spent_on < today),
        *nothing,
    )
    strangers = list(connection.scalars(query.limit(limit)))
    if strangers:
        fair.forget(connection, strangers)
    return len(strangers)
