"""Pictures that jobs start from, their masks, and pictures that were taken in to be one of these.

A file of the image store is kept for as long as anything here or in ``pictures`` names it: the rows are its count of
references, and a job's go with the job.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, true

from calotype.errors import BadRequest, Problem
from calotype.ledger import accounts, fair, limits
from calotype.ledger.accounts import person_of
from calotype.ledger.rows import now, put
from calotype.ledger.tables import init_images, jobs, masks, pictures, uploads
from calotype.person import Person
from calotype.request import Request
from calotype.roles import UNLIMITED, Limits

_CHUNK: Final = 500
"""Values in one IN list."""


def check(connection: Connection, person: Person, request: Request) -> None:
    """Raises :class:`BadRequest` unless picture and mask are the person's. Whose else they may be is not told."""
    problems = [
        Problem(field, f"{sha256[:12]}… is not one of your pictures; take one of your jobs' or upload it")
        for field, sha256 in (("init_image", request.init_image), ("mask", request.mask))
        if sha256 is not None and not may_use(connection, person, sha256)
    ]
    if problems:
        raise BadRequest(*problems)


def may_use(connection: Connection, person: Person, sha256: str) -> bool:
    """Whether the picture is one of the person's: drawn for them, used before, or taken in from them.

    An operator may use every picture that is known.
    """

    def owned(column: ColumnElement[str]) -> ColumnElement[bool]:
        return true() if person.operator else column == person_of(person.key)

    roads = [
        *(
            select(table.c.sha256)
            .join(jobs, jobs.c.id == table.c.job_id)
            .where(table.c.sha256 == sha256, owned(jobs.c.person))
            for table in (pictures, init_images, masks)
        ),
        select(uploads.c.sha256).where(uploads.c.sha256 == sha256, owned(uploads.c.person)),
    ]
    return any(connection.scalar(road.limit(1)) is not None for road in roads)


def drawn(connection: Connection, sha256: str) -> bool:
    """Whether any job made the picture."""
    return connection.scalar(select(pictures.c.sha256).where(pictures.c.sha256 == sha256).limit(1)) is not None


def begins(connection: Connection, job_id: str, request: Request) -> None:
    """The job starts from its picture if it has one, with its mask, and keeps both."""
    for table, sha256 in ((init_images, request.init_image), (masks, request.mask)):
        if sha256 is not None:
            connection.execute(insert(table).values(job_id=job_id, sha256=sha256))


def taken(connection: Connection, person_key: str) -> int:
    """How many pictures are kept because the person uploaded them."""
    return connection.scalar(select(func.count()).where(uploads.c.person == person_of(person_key))) or 0


def take_in(connection: Connection, person: Person, sha256: str, allowed: Limits = UNLIMITED) -> None:
    """The person brought the picture, now; also if they had before. Raises :class:`NotAllowed` if they are banned."""
    (standing,) = accounts.lock(connection, [person], allowed)
    limits.welcome(standing)
    put(connection, uploads, {"sha256": sha256, "person": standing.key}, {"taken": now()})


def forget(connection: Connection, taken_before: datetime) -> int:
    """Lets go of uploads from before that time; jobs that start from one keep it. How many uploads."""
    people = list(connection.scalars(delete(uploads).where(uploads.c.taken < taken_before).returning(uploads.c.person)))
    for first in range(0, len(people), _CHUNK):
        fair.forget(connection, people[first : first + _CHUNK])
    return len(people)


def named(connection: Connection, sha256s: Collection[str]) -> set[str]:
    """Which of these (few) anything refers to."""
    found: set[str] = set()
    for table in (pictures, init_images, masks, uploads):
        found.update(connection.scalars(select(table.c.sha256).where(table.c.sha256.in_(sha256s))))
    return found
