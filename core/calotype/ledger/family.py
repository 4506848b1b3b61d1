"""Variations: which job a job was made from. And favourites: which ones their person keeps."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, select, update

from calotype.errors import BadRequest
from calotype.job import Job
from calotype.ledger import fair
from calotype.ledger.accounts import person_of
from calotype.ledger.rows import one_job, to_jobs
from calotype.ledger.tables import jobs, pictures
from calotype.person import Person

ID_LIMIT: Final = 40
"""Characters of a job's id."""


def check(connection: Connection, person: Person, parent: str | None) -> None:
    """Raises :class:`BadRequest` unless the job is the person's own; an operator may vary any."""
    if parent is None:
        return
    query = select(jobs.c.id).where(jobs.c.id == parent)
    if not person.operator:
        query = query.where(jobs.c.person == person_of(person.key))
    if connection.scalar(query) is None:
        raise BadRequest.of("parent", f"{parent[:ID_LIMIT]!r} is not one of your jobs; name one of yours or none")


def children(connection: Connection, job_id: str, person: str | None, limit: int) -> list[Job]:
    """Variations of the job, oldest first; of that person only, or everybody's (None)."""
    query = select(jobs).where(jobs.c.parent == job_id).order_by(jobs.c.seq).limit(max(limit, 0))
    if person is not None:
        query = query.where(jobs.c.person == person_of(person))
    return to_jobs(connection, connection.execute(query).mappings())


def origin(connection: Connection, sha256: str, person: str) -> str | None:
    """Id of the person's newest job that drew the picture."""
    drew = select(jobs.c.id).join(pictures, pictures.c.job_id == jobs.c.id).where(pictures.c.sha256 == sha256)
    mine = drew.where(jobs.c.person == person_of(person))
    return connection.scalar(mine.order_by(jobs.c.seq.desc()).limit(1))


def favour(connection: Connection, job_id: str, favourite: bool) -> Job | None:
    """Keeps the job, or not any more. The job as it now stands; None if it is unknown."""
    fair.hold(connection, job_id)
    changes = (jobs.c.id == job_id) & (jobs.c.favourite != favourite)
    connection.execute(update(jobs).where(changes).values(favourite=favourite))
    return one_job(connection, job_id)
