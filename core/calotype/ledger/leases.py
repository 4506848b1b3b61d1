"""Leases: a worker holds its running jobs until a time on the database's clock, and says again and again that it lives.

Only where several processes work on one database, PostgreSQL. A job whose lease ran out, or whose worker is seen to be
gone, goes back into the queue; the epoch fences off whoever still has it. On SQLite one process owns everything, so
there are no leases that a clock which jumps could end: see :func:`calotype.ledger.queue.recover`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, func, or_, select, update

from calotype.job import JobStatus
from calotype.ledger import fair, queue, session
from calotype.ledger.database import Database
from calotype.ledger.session import Kind
from calotype.ledger.tables import jobs

_RUNNING: Final = jobs.c.status == JobStatus.RUNNING


@dataclass(frozen=True)
class Holder:
    """Who claims, and for how many seconds at a time."""

    worker: str
    seconds: float

    def values(self) -> dict[str, Any]:
        """Of a job that it claims or keeps."""
        return {"worker": self.worker, "lease": self._until()}

    def _until(self) -> ColumnElement[Any]:
        # not now(), which is when the transaction began: it may have waited for others since
        return func.clock_timestamp() + func.make_interval(0, 0, 0, 0, 0, 0, self.seconds)


class Leases:
    """The leases of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.holder: Holder | None = None
        """In whose name this process claims; None claims without a lease."""

    def renew(self) -> dict[str, int]:
        """Says that the holder lives. Its running jobs with their epochs: whatever else it has, it has lost."""
        if self.holder is None:
            return {}
        return self._database.write(renew, self.holder)

    def held(self) -> dict[str, int]:
        """Running jobs of this process with their epochs, without writing: the holder's, as renew tells them.

        Without leases one process owns everything, so all that run are its own.
        """
        return self._database.read(held, None if self.holder is None else self.holder.worker)

    def gone(self) -> set[str]:
        """Workers that have running jobs and no session: they ended, or their connection broke just now."""
        return self._database.read(gone)

    def take_back(self, gone: Collection[str] = (), max_attempts: int = 3) -> tuple[list[str], list[str]]:
        """Ends what ran out, and what the workers in ``gone`` had: they are known to have ended.

        Ids of the jobs that wait again, uncharged, and of those that are failed because they ran ``max_attempts``
        times. Each job is a transaction of its own, so nobody waits for all of them.
        """
        again: list[str] = []
        dead: list[str] = []
        for job_id, epoch in self._database.read(lost, list(gone)):
            status = self._database.write(take_back, job_id, epoch, list(gone), max_attempts)
            if status is not None:
                (dead if status is JobStatus.FAILED else again).append(job_id)
        return again, dead


def renew(connection: Connection, holder: Holder) -> dict[str, int]:
    """One statement for all that the holder runs."""
    mine = _RUNNING & (jobs.c.worker == holder.worker)
    kept = update(jobs).where(mine).values(holder.values()).returning(jobs.c.id, jobs.c.epoch)
    return {row.id: row.epoch for row in connection.execute(kept)}


def held(connection: Connection, worker: str | None) -> dict[str, int]:
    """What the worker runs, or everybody (None), as far as the ledger knows."""
    query = select(jobs.c.id, jobs.c.epoch).where(_RUNNING)
    if worker is not None:
        query = query.where(jobs.c.worker == worker)
    return {row.id: row.epoch for row in connection.execute(query)}


def gone(connection: Connection) -> set[str]:
    """Workers of running jobs without a lock that shows that they live."""
    workers = connection.scalars(select(jobs.c.worker).where(_RUNNING, jobs.c.worker.is_not(None)).distinct()).all()
    return session.absent(workers, session.holders(connection, Kind.WORKER)) if workers else set()


def _lost(gone: Collection[str]) -> ColumnElement[bool]:
    """Of a running job. One without a worker was claimed before there were leases: its service has ended since."""
    ran_out = or_(jobs.c.lease.is_(None), jobs.c.lease < func.clock_timestamp())
    return _RUNNING & or_(ran_out, jobs.c.worker.in_(list(gone)))


def lost(connection: Connection, gone: Collection[str]) -> list[tuple[str, int]]:
    """Ids and epochs, in the order of submission."""
    query = select(jobs.c.id, jobs.c.epoch).where(_lost(gone)).order_by(jobs.c.seq)
    return [(row.id, row.epoch) for row in connection.execute(query)]


def take_back(
    connection: Connection, job_id: str, epoch: int, gone: Collection[str], max_attempts: int
) -> JobStatus | None:
    """Puts the job back or fails it: what it is then. None, and nothing changed, if its worker was faster."""
    fair.hold(connection, job_id)
    still = (jobs.c.id == job_id) & (jobs.c.epoch == epoch) & _lost(gone)
    attempts = connection.scalar(select(jobs.c.attempts).where(still).with_for_update())
    if attempts is None:
        return None
    return queue.take_back(connection, job_id, epoch, attempts, max_attempts)
