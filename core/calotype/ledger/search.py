"""The search: jobs whose prompts hold some words, newest first, narrowed down.

Both databases find the same: words and queries are split by :mod:`~calotype.ledger.words`. How the few newest are
found without reading all that match is each database's own matter: :mod:`~calotype.ledger.search_sqlite`,
:mod:`~calotype.ledger.search_postgresql`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import BindParameter, Boolean, Connection, RowMapping, Select, bindparam, insert, select, text

from calotype.errors import BadRequest
from calotype.job import Job, JobStatus
from calotype.ledger import search_postgresql, search_sqlite
from calotype.ledger.accounts import resolve
from calotype.ledger.history import place
from calotype.ledger.rows import to_jobs
from calotype.ledger.search_tables import job_words
from calotype.ledger.tables import StatusText, UTCDateTime, jobs
from calotype.ledger.words import Term, split, terms

QUERY_LIMIT: Final = 500
"""Characters of what somebody looks for."""
CLOCK_ERROR: Final = timedelta(days=1)
"""Days by which the clock may have been wrong, so that a search by date still finds everything of its date."""

_AT_A_TIME: Final = 1000


@dataclass(frozen=True)
class Filters:
    """What a search is narrowed down by; None is no matter."""

    person: str | None = None
    guild: str | None = None
    model: str | None = None
    sampler: str | None = None
    since: datetime | None = None
    """Submitted then or later (aware)."""
    until: datetime | None = None
    """Submitted before (aware)."""
    favourite: bool | None = None
    status: JobStatus | None = None


def facets(dialect: str, seq: int | None, job: Mapping[str, Any] | RowMapping) -> list[str]:
    """What a search is narrowed down by, as words of the index. A trigger does the same when the job changes."""
    named = {"p": job["person"], "g": job["guild"], "m": job["model"], "s": job["sampler"]}
    found = [_facet(dialect, kind, value) for kind, value in named.items() if value is not None]
    if seq is not None and dialect == "postgresql":
        found.insert(0, search_postgresql.era(seq))
    if job["favourite"]:
        found.append("f" if dialect == "postgresql" else "¬f")
    return found


def _facet(dialect: str, kind: str, value: str) -> str:
    if dialect == "postgresql":
        return kind + hashlib.sha256(value.encode()).hexdigest()[:32]
    return f"¬{kind}{value.encode().hex()}"  # no word of a prompt begins so


def values(dialect: str, seq: int, job: Mapping[str, Any] | RowMapping, request: Mapping[str, Any]) -> dict[str, Any]:
    """The row of ``job_words`` for a row of ``jobs``."""
    kinds = facets(dialect, seq, job)
    texts = [split(str(request.get("prompt") or "")), split(str(request.get("negative_prompt") or ""))]
    if dialect == "postgresql":
        return {"seq": seq, "facets": kinds, "words": search_postgresql.vector(texts)}
    return {"seq": seq, "facets": " ".join(kinds), "words": search_sqlite.BETWEEN.join(map(" ".join, texts))}


def index(connection: Connection, seq: int, job: Mapping[str, Any] | RowMapping, request: Mapping[str, Any]) -> None:
    """Makes a new job findable, in the transaction that writes it down."""
    connection.execute(insert(job_words).values(values(connection.dialect.name, seq, job, request)))


def index_all(connection: Connection) -> None:
    """Makes every job findable that is not yet: after a restore, which brings no words along."""
    last = -1
    known = select(job_words.c.seq)
    query = select(jobs).where(jobs.c.seq.not_in(known)).order_by(jobs.c.seq).limit(_AT_A_TIME)
    while rows := connection.execute(query.where(jobs.c.seq > last)).mappings().all():
        last = rows[-1]["seq"]
        new = [values(connection.dialect.name, row["seq"], row, row["request"]) for row in rows]
        connection.execute(insert(job_words), new)


def search(connection: Connection, words: str, filters: Filters, limit: int, before: str | None) -> list[Job]:
    """Newest first, in the order of submission; ``before`` is the last id of the page before.

    ``words``: all of them, in prompt or negative prompt, the last one perhaps unfinished; quoted ones in their order.
    Raises :class:`BadRequest` if it is too long to be looked for.
    """
    if len(words) > QUERY_LIMIT:
        raise BadRequest.of("q", f"has {len(words)} characters; at most {QUERY_LIMIT}")
    if filters.person is not None:
        filters = replace(filters, person=resolve(connection, filters.person))
    below = None if before is None else place(connection, before)
    lowest, highest = _numbers(connection, filters)
    if below is None or (highest is not None and highest < below):
        below = highest
    numbers = _found(connection, terms(words), filters, max(limit, 0), below, lowest)
    rows = connection.execute(select(jobs).where(jobs.c.seq.in_(numbers)).order_by(jobs.c.seq.desc()))
    return to_jobs(connection, rows.mappings())


def _found(
    connection: Connection, wanted: tuple[Term, ...], filters: Filters, limit: int, below: int | None, lowest: int
) -> list[int]:
    conditions = list(_conditions(filters))
    narrowed = facets(
        connection.dialect.name,
        None,
        {name: getattr(filters, name) for name in ("person", "guild", "model", "sampler", "favourite")},
    )
    if not wanted and filters.guild is filters.model is filters.sampler is None:
        return _walk(connection, filters, conditions, limit, below, lowest)
    find = search_postgresql.find if connection.dialect.name == "postgresql" else search_sqlite.find
    return find(connection, wanted, narrowed, conditions, filters.person, limit, below, lowest)


def _walk(
    connection: Connection,
    filters: Filters,
    conditions: Iterable[tuple[str, BindParameter[Any]]],
    limit: int,
    below: int | None,
    lowest: int,
) -> list[int]:
    """Without words the jobs themselves are in the right order, a person's and their favourites too."""
    query: Select[tuple[int]] = select(jobs.c.seq).order_by(jobs.c.seq.desc()).limit(limit)
    query = query.where(*(text(sql).bindparams(bind) for sql, bind in conditions))
    if filters.person is not None:
        query = query.where(jobs.c.person == filters.person)
    if filters.favourite:
        query = query.where(jobs.c.favourite)
    if below is not None:
        query = query.where(jobs.c.seq < below)
    if lowest:
        query = query.where(jobs.c.seq >= lowest)
    return list(connection.scalars(query))


def _conditions(filters: Filters) -> Iterator[tuple[str, BindParameter[Any]]]:
    """What no index of words knows."""
    if filters.since is not None:
        yield "jobs.created >= :since", bindparam("since", filters.since, UTCDateTime)
    if filters.until is not None:
        yield "jobs.created < :until", bindparam("until", filters.until, UTCDateTime)
    if filters.status is not None:
        yield "jobs.status = :status", bindparam("status", filters.status, StatusText)
    if filters.favourite is False:
        yield "jobs.favourite = :favourite", bindparam("favourite", False, Boolean)


def _numbers(connection: Connection, filters: Filters) -> tuple[int, int | None]:
    """Between which numbers the jobs of these dates are, loosely: at the lowest or above, below the highest.

    Ids begin with the time and are indexed. A job from well before the first date has a lower number than all that
    are wanted, one from well after the last date a higher one.
    """
    lowest, highest = 0, None
    if filters.since is not None:
        early = filters.since - CLOCK_ERROR
        query = select(jobs.c.seq, jobs.c.created).where(jobs.c.id < _first_id(early)).order_by(jobs.c.id.desc())
        row = connection.execute(query.limit(1)).one_or_none()
        if row is not None and row.created < early:
            lowest = row.seq
    if filters.until is not None:
        late = filters.until + CLOCK_ERROR
        query = select(jobs.c.seq, jobs.c.created).where(jobs.c.id > _first_id(late)).order_by(jobs.c.id)
        row = connection.execute(query.limit(1)).one_or_none()
        if row is not None and row.created >= late:
            highest = row.seq
    return lowest, highest


def _first_id(at: datetime) -> str:
    """No id of that time or later is smaller: see :func:`calotype.job.new_job_id`."""
    return f"{max(0, int(at.timestamp() * 1000)):012x}"
