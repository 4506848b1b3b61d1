"""The first half of a job's life: submitted, claimed, perhaps put back. The second is :mod:`~calotype.ledger.ending`.

Each function is one step inside a transaction. Who is served next is :mod:`~calotype.ledger.fair`'s business.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, RowMapping, insert, select, update

from calotype.job import Job, JobStatus, new_job_id
from calotype.ledger import accounts, ending, fair, family, limits, outbox, search, starts, timetable, warm
from calotype.ledger.rows import now, to_jobs
from calotype.ledger.tables import is_queued, jobs, persons
from calotype.person import Person
from calotype.request import Request
from calotype.roles import UNLIMITED, VISITOR, Limits

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


def submit(
    connection: Connection,
    person: Person,
    request: Request,
    *,
    cost: float,
    key: str | None,
    reply_to: Mapping[str, Any] | None,
    parent: str | None = None,
    scheduled: int | None = None,
    allowed: Limits = UNLIMITED,
) -> Job:
    """Writes the person and the job down, or finds the job that this person submitted with this key before.

    Raises :class:`BadRequest` if it starts from a picture or varies a job that is not the person's,
    :class:`NotAllowed` if they are banned or have had as much as they may: never for a job that was accepted before.
    """
    fair.charge(cost, 1.0 if person.weight is None else person.weight)  # raises before anything is written
    outbox.address(reply_to)
    # first: on PostgreSQL it makes equal keys of a person wait for each other
    standing = accounts.introduce(connection, person, allowed)
    if scheduled is not None:  # else one that was just due would bring back a person who has been erased
        timetable.require(connection, scheduled)
    if key is not None:
        mine = (jobs.c.person == standing.key) & (jobs.c.key == key)
        known = connection.execute(select(jobs).where(mine)).mappings().one_or_none()
        if known is not None:
            return to_jobs(connection, [known])[0]
    if standing.role != VISITOR:
        person = replace(person, address=None)  # they are somebody, wherever they come from
    budget = limits.check(connection, standing, person, cost, allowed)
    family.check(connection, person, parent)
    starts.check(connection, person, request)  # in this transaction, so that nobody lets go of a picture in between
    other = None if person.key == standing.key else person.key
    job = Job(
        new_job_id(), standing.key, request, JobStatus.QUEUED, standing.now, cost=cost, reply_to=reply_to,
        account=other, parent=parent,
    )  # fmt: skip
    fair.enters(connection, standing.key, _insert(connection, job, key, person), budget)
    starts.begins(connection, job.id, request)
    return job


def _insert(connection: Connection, job: Job, key: str | None, person: Person) -> int:
    """The job's number in the order of submission."""
    values = {
        **{name: getattr(job, name) for name in ("id", "person", "status", "cost", "created", "reply_to")},
        "account": job.account,
        "parent": job.parent,
        "guild": person.guild,
        "address": person.address,
        "key": key,
        "request": job.request.model_dump(mode="json"),
        "model": job.request.model,
        "sampler": job.request.sampler,
    }
    seq: int = connection.scalars(insert(jobs).values(values).returning(jobs.c.seq)).one()
    search.index(connection, seq, {"favourite": False, **values}, values["request"])
    return seq


def known(connection: Connection, person_key: str, key: str) -> bool:
    """Whether the person submitted a job with this ``key``."""
    mine = (jobs.c.person == accounts.person_of(person_key)) & (jobs.c.key == key)
    return connection.scalar(select(jobs.c.id).where(mine)) is not None


def claim(
    connection: Connection,
    limit: int,
    at_most_per_person: int | None,
    loaded: Collection[str] = (),
    held: Mapping[str, Any] = _NOTHING,
    tried_at_most: int | None = None,
) -> list[Job]:
    """Up to ``limit`` jobs, each the oldest of the person whose turn it is, charged and running.

    With models ``loaded``: or of one close behind who needs one of these (:mod:`~calotype.ledger.warm`). ``held`` is
    written down with them: who has them, until when. Nothing more is claimed if the next job was tried more often than
    ``tried_at_most``.
    """
    claimed: list[RowMapping] = []
    weights: list[float] = []
    while len(claimed) < limit:
        person = fair.choose(connection, at_most_per_person)
        if person is None:
            break
        if loaded:
            person = warm.instead(connection, person, loaded, at_most_per_person)
        seq, cost, attempts = _oldest_of(connection, person)
        if tried_at_most is not None and attempts > tried_at_most:
            break
        claimed.append(_runs(connection, person, seq, cost, held))
        weights.append(person.weight)
    return [replace(job, weight=weight) for job, weight in zip(to_jobs(connection, claimed), weights, strict=True)]


def claim_job(connection: Connection, job_id: str, held: Mapping[str, Any] = _NOTHING) -> Job | None:
    """Charges for a job of known id and runs it; None unless it is queued."""
    fair.hold(connection, job_id)
    query = select(jobs.c.seq, jobs.c.cost, persons.c.key, persons.c.weight, persons.c.vtime)
    row = connection.execute(
        query.join(persons, persons.c.key == jobs.c.person).where(jobs.c.id == job_id, is_queued)
    ).one_or_none()
    if row is None:
        return None
    claimed = _runs(connection, fair.Next(row.key, row.weight, row.vtime), row.seq, row.cost, held)
    return replace(to_jobs(connection, [claimed])[0], weight=row.weight)


def _oldest_of(connection: Connection, person: fair.Next) -> tuple[int, float, int]:
    """Number, cost and attempts of their oldest queued job."""
    oldest = select(jobs.c.seq, jobs.c.cost, jobs.c.attempts).where(jobs.c.person == person.key, is_queued)
    seq, cost, attempts = connection.execute(oldest.order_by(jobs.c.seq).limit(1)).one()
    return seq, cost, attempts


def _runs(connection: Connection, person: fair.Next, seq: int, cost: float, held: Mapping[str, Any]) -> RowMapping:
    charged = fair.charge(cost, person.weight)
    fair.serves(connection, person, charged)
    runs = {
        "status": JobStatus.RUNNING,
        "epoch": jobs.c.epoch + 1,  # fences off whoever had it before
        "attempts": jobs.c.attempts + 1,
        "charge": charged,
        "started": now(),
        **held,
    }
    return connection.execute(update(jobs).where(jobs.c.seq == seq).values(runs).returning(jobs)).mappings().one()


def release(connection: Connection, job_id: str, epoch: int) -> bool:
    """Back to its old place, unserved: the charge and the attempt are given back. False if the claim is stale."""
    fair.hold(connection, job_id)
    mine = (jobs.c.id == job_id) & (jobs.c.epoch == epoch) & (jobs.c.status == JobStatus.RUNNING)
    return _put_back(connection, mine, given_back=1) > 0


def recover(connection: Connection, max_attempts: int) -> tuple[list[str], list[str]]:
    """Ids of the jobs put back, and of those that ran so often in vain that they are failed instead."""
    running = jobs.c.status == JobStatus.RUNNING
    query = select(jobs.c.id, jobs.c.epoch).where(running, jobs.c.attempts >= max_attempts).order_by(jobs.c.seq)
    dead = connection.execute(query).all()
    for job_id, epoch in dead:
        ending.fail(connection, job_id, epoch, _dead_letter(max_attempts), {})
    again = list(connection.scalars(select(jobs.c.id).where(running).order_by(jobs.c.seq)))
    _put_back(connection, running, given_back=0)  # these attempts count: one of them may have been the killer
    return again, [job_id for job_id, _ in dead]


def take_back(connection: Connection, job_id: str, epoch: int, attempts: int, max_attempts: int) -> JobStatus:
    """Of a running job that its worker lost: it waits again, or fails if it ran ``max_attempts`` times."""
    if attempts >= max_attempts:
        ending.fail(connection, job_id, epoch, _dead_letter(attempts), {})
        return JobStatus.FAILED
    _put_back(connection, jobs.c.id == job_id, given_back=0)  # the attempt counts: the job may have been the killer
    return JobStatus.QUEUED


def _dead_letter(attempts: int) -> str:
    times = "once" if attempts <= 1 else f"{attempts} times"
    return f"the service stopped {times} while it made this; it is not tried again; ask for fewer or smaller pictures"


def _put_back(connection: Connection, which: Any, given_back: int) -> int:
    """Queues the running jobs among ``which`` again. How many those were."""
    waits = {
        "status": JobStatus.QUEUED,
        "started": None,
        "attempts": jobs.c.attempts - given_back,
        "worker": None,
        "lease": None,
    }
    rows = connection.execute(
        update(jobs).where(which).values(waits).returning(jobs.c.person, jobs.c.seq, jobs.c.charge)
    ).all()
    for person, seq, charged in rows:
        fair.returns(connection, person, seq, charged)
    return len(rows)
