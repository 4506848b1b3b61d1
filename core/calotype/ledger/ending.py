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
from calotype.ledger import fair, outbox
from calotype.ledger.rows import now, one_job
from calotype.ledger.tables import jobs, pictures


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


def fail(connection: Connection, job_id: str, epoch: int, reason: str, record: Mapping[str, Any]) -> bool:
    """Records why there is no picture and posts that. False, and nothing changed, if the claim is stale."""
    return _ends(connection, job_id, epoch, status=JobStatus.FAILED, error=reason, record=dict(record))


def _ends(connection: Connection, job_id: str, epoch: int, **result: Any) -> bool:
    fair.hold(connection, job_id)
    mine = (jobs.c.id == job_id) & (jobs.c.epoch == epoch) & (jobs.c.status == JobStatus.RUNNING)
    ended = connection.execute(
        update(jobs).where(mine).values(finished=now(), lease=None, **result).returning(jobs.c.person, jobs.c.reply_to)
    ).one_or_none()
    if ended is None:
        return False
    fair.leaves(connection, ended.person, running=1)
    outbox.post(connection, job_id, ended.reply_to)
    return True


def cancel(connection: Connection, job_id: str) -> Job | None:
    """Calls it off unless it has ended, and posts that. The job as it now stands; None if it is unknown.

    What ran stays charged: the service was used. What was queued was never charged. It is posted as well: whoever
    asked may be elsewhere than whoever calls it off.
    """
    fair.hold(connection, job_id)
    query = select(jobs.c.person, jobs.c.status, jobs.c.reply_to).where(jobs.c.id == job_id).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    status = JobStatus(row.status)
    if status.may_become(JobStatus.CANCELLED):
        called_off = {"status": JobStatus.CANCELLED, "finished": now(), "lease": None}
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(called_off))
        running = int(status is JobStatus.RUNNING)
        fair.leaves(connection, row.person, queued=1 - running, running=running)
        outbox.post(connection, job_id, row.reply_to)
    return one_job(connection, job_id)
