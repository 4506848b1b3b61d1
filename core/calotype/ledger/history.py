"""What was: jobs looked up, listed, counted, and forgotten after their time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Final, TypeVar

from sqlalchemy import Connection, delete, func, select

from calotype.job import Job, JobStatus
from calotype.ledger import ending, fair, retention, starts
from calotype.ledger.accounts import person_of
from calotype.ledger.rows import to_jobs
from calotype.ledger.tables import jobs

T = TypeVar("T")
_CHUNK: Final = 500
"""Values in one IN list: SQLite takes 32,766."""
_FINAL: Final = [status for status in JobStatus if status.final]


def history(connection: Connection, person: str | None, limit: int, before: str | None) -> list[Job]:
    """Newest first, in the order of submission; ``before`` is the last id of the page before."""
    query = select(jobs).order_by(jobs.c.seq.desc()).limit(max(limit, 0))  # SQLite: -1 is all
    if person is not None:
        query = query.where(jobs.c.person == person_of(person))
    if before is not None:
        query = query.where(jobs.c.seq < place(connection, before))
    return to_jobs(connection, connection.execute(query).mappings())


def place(connection: Connection, job_id: str) -> int:
    """The job's number, or, if it has been deleted meanwhile, that of what was submitted after it."""
    seq = connection.scalar(select(jobs.c.seq).where(jobs.c.id == job_id))
    if seq is None:
        # ids begin with the time: right unless the clock jumped, and then off by a few lines of one page
        newest = select(jobs.c.seq + 1).where(jobs.c.id < job_id).order_by(jobs.c.id.desc()).limit(1)
        seq = connection.scalar(newest)
    return int(seq or 0)


def counts(connection: Connection) -> dict[JobStatus, int]:
    """How many jobs there are of each status, zeros included."""
    rows = connection.execute(select(jobs.c.status, func.count()).group_by(jobs.c.status)).all()
    return dict.fromkeys(JobStatus, 0) | {JobStatus(status): count for status, count in rows}


def expire(connection: Connection, finished_before: datetime, limit: int) -> int:
    """Deletes up to ``limit`` jobs that ended before, with pictures and outbox rows.

    No favourites, and none whose result is still to be delivered.
    """
    done_with = retention.is_done_with(finished_before)
    old = select(jobs.c.seq).where(done_with).order_by(jobs.c.finished).limit(limit)
    numbers = connection.scalars(old).all()
    people: set[str] = set()
    for some in _chunks(numbers):
        gone = delete(jobs).where(jobs.c.seq.in_(some), done_with)
        people.update(connection.scalars(gone.returning(jobs.c.person)))
    for few in _chunks(people):
        fair.forget(connection, few)
    return len(numbers)


def erase(connection: Connection, job_id: str, by: str | None = None) -> bool:
    """Deletes a job that has ended, with its pictures and outbox row. False if it is unknown or not over yet.

    Audited if ``by`` is an account of somebody else's.
    """
    over = (jobs.c.id == job_id) & jobs.c.status.in_(_FINAL)
    owner = connection.scalar(delete(jobs).where(over).returning(jobs.c.person))
    if owner is None:
        return False
    ending.audit_if_foreign(connection, "erase_job", job_id, owner, by)
    return True


def under_way(connection: Connection, front_end: str, after: int, limit: int) -> list[tuple[int, Job]]:
    """Jobs that are not over and are to be delivered by a front end, in their order, with their numbers."""
    unfinished = [status for status in JobStatus if not status.final]
    query = (
        select(jobs)
        .where(jobs.c.status.in_(unfinished), jobs.c.seq > after, jobs.c.reply_to["front_end"].as_string() == front_end)
        .order_by(jobs.c.seq)
        .limit(limit)
    )
    rows = connection.execute(query).mappings().all()
    return list(zip((row["seq"] for row in rows), to_jobs(connection, rows), strict=True))


def _chunks(values: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(values)
    while some := list(islice(rest, _CHUNK)):
        yield some


def unreferenced(connection: Connection, sha256s: Iterable[str]) -> set[str]:
    """Which of these nothing refers to: no job drew it, none starts from it, and it is no upload."""
    free: set[str] = set()
    for some in _chunks(sha256s):
        free.update(some)
        free.difference_update(starts.named(connection, some))
    return free
