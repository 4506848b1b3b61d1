"""The end of a job's life: finished, failed or cancelled, recorded exactly once.

Finishing and failing are fenced: they change a job only while it runs under the caller's own claim (its epoch).
The result and its delivery are one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, insert, select, update

from calotype.job import Job, JobStatus, Picture
from calotype.ledger import accounts, audit, fair, limits, outbox
from calotype.ledger.rows import now, one_job
from calotype.ledger.tables import jobs, pictures
from calotype.texts import mended

_ENDED = (jobs.c.person, jobs.c.reply_to, jobs.c.cost, jobs.c.created)


def finish(
    connection: Connection, job_id: str, epoch: int, drawn: Sequence[Picture], record: Mapping[str, Any]
) -> bool:
    """Records the pictures and posts them. False, and nothing changed, if the claim is stale."""
    if not _ends(connection, job_id, epoch, status=JobStatus.FINISHED, record=dict(record)):
        return False
    if drawn:
        rows = [{**asdict(picture), "notes": list(picture.notes), "job_id": job_id} for picture in drawn]
        connection.execute(insert(pictures), rows)
    return True


def fail(
    connection: Connection, job_id: str, epoch: int, reason: str, record: Mapping[str, Any], *, free: bool = True
) -> bool:
    """Records why there is no picture and posts that. False, and nothing changed, if the claim is stale.

    ``free``: the day's budget gets its cost back. Not where a review refused what was made: trying would cost nothing.
    """
    result = {"status": JobStatus.FAILED, "error": mended(reason), "record": dict(record)}
    return _ends(connection, job_id, epoch, free=free, **result)


def _ends(connection: Connection, job_id: str, epoch: int, *, free: bool = False, **result: Any) -> bool:
    fair.hold(connection, job_id)
    mine = (jobs.c.id == job_id) & (jobs.c.epoch == epoch) & (jobs.c.status == JobStatus.RUNNING)
    ended = connection.execute(
        update(jobs).where(mine).values(finished=now(), lease=None, **result).returning(*_ENDED)
    ).one_or_none()
    if ended is None:
        return False
    budget = limits.given_back(ended.cost, ended.created) if free else {}
    fair.leaves(connection, ended.person, running=1, also=budget)
    outbox.post(connection, job_id, ended.reply_to)
    return True


def cancel(connection: Connection, job_id: str, by: str | None = None) -> Job | None:
    """Calls it off unless it has ended, and posts that. The job as it now stands; None if it is unknown.

    What ran stays charged: the service was used. What was queued was never charged, and the day's budget gets its cost
    back. It is posted as well: whoever asked may be elsewhere than whoever calls it off. Audited if ``by`` is an
    account of somebody else's.
    """
    fair.hold(connection, job_id)
    query = select(jobs.c.status, *_ENDED).where(jobs.c.id == job_id).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    status = JobStatus(row.status)
    if status.may_become(JobStatus.CANCELLED):
        called_off = {"status": JobStatus.CANCELLED, "finished": now(), "lease": None}
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(called_off))
        running = int(status is JobStatus.RUNNING)
        budget = {} if running else limits.given_back(row.cost, row.created)
        fair.leaves(connection, row.person, queued=1 - running, running=running, also=budget)
        outbox.post(connection, job_id, row.reply_to)
        audit_if_foreign(connection, "cancel", job_id, row.person, by)
    return one_job(connection, job_id)


def audit_if_foreign(connection: Connection, action: str, job_id: str, owner: str, by: str | None) -> None:
    """Writes down what somebody did to another one's job; one's own are one's own business."""
    if by is not None and accounts.resolve(connection, by) != owner:
        audit.note(connection, by, action, job_id, owner=owner)


def cancel_all(connection: Connection, person: str) -> list[str]:
    """Calls off whatever of the person's, who is locked, waits or runs. The jobs' ids, in their order."""
    under_way = select(jobs.c.id).where(
        jobs.c.person == person, jobs.c.status.in_([status for status in JobStatus if not status.final])
    )
    job_ids = list(connection.scalars(under_way.order_by(jobs.c.seq)))
    for job_id in job_ids:
        cancel(connection, job_id)
    return job_ids
