"""Variations: which job a job was made from. And favourites: which ones their person keeps."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, func, select, update

from calotype.errors import BadRequest, LimitReached
from calotype.job import Job
from calotype.ledger import fair
from calotype.ledger.accounts import person_of
from calotype.ledger.rows import one_job, to_jobs
from calotype.ledger.tables import jobs, persons, pictures
from calotype.person import Person
from calotype.roles import Limits

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


def favour(connection: Connection, job_id: str, favourite: bool, allowed: Limits | None = None) -> Job | None:
    """Keeps the job, or not any more. The job as it now stands; None if it is unknown.

    Raises :class:`LimitReached` if its person has as many favourites as ``allowed``.
    """
    fair.hold(connection, job_id)  # locks the person: their favourites are counted one after another
    if favourite and allowed is not None:
        _check_room(connection, job_id, allowed)
    changes = (jobs.c.id == job_id) & (jobs.c.favourite != favourite)
    connection.execute(update(jobs).where(changes).values(favourite=favourite))
    return one_job(connection, job_id)


def _check_room(connection: Connection, job_id: str, allowed: Limits) -> None:
    query = select(jobs.c.person, jobs.c.favourite, persons.c.role).join(persons, persons.c.key == jobs.c.person)
    row = connection.execute(query.where(jobs.c.id == job_id)).one_or_none()
    if row is None or row.favourite:
        return
    limit = allowed.role(row.role).favourites
    theirs = select(func.count()).select_from(jobs).where(jobs.c.person == row.person, jobs.c.favourite)
    if limit is not None and (connection.scalar(theirs) or 0) >= limit:
        raise LimitReached(f"favourites: {limit} are kept, the most there may be; let go of one first")
