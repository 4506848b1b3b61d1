"""From rows to the words of the core: :class:`Job`, :class:`Picture`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, RowMapping, Table, select
from sqlalchemy.dialects import postgresql, sqlite

from calotype.job import Job, JobStatus, Picture
from calotype.ledger.tables import jobs, pictures
from calotype.request import Request


def now() -> datetime:
    """The time for people to read. Never for an order, never to decide who may claim."""
    return datetime.now(UTC)


def put(connection: Connection, table: Table, key: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Inserts a row, or updates the one with that primary key."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = dialect.insert(table).values(**key, **values)
    connection.execute(row.on_conflict_do_update(index_elements=list(key), set_=dict(values)))


def one_job(connection: Connection, job_id: str) -> Job | None:
    """The job as it now stands, with its pictures. None if it is unknown."""
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).mappings().one_or_none()
    return None if row is None else to_jobs(connection, [row])[0]


def to_jobs(connection: Connection, rows: Iterable[RowMapping]) -> list[Job]:
    """Jobs with their pictures, in the order of the rows, with one more query for all of them."""
    rows = list(rows)
    drawn = _pictures(connection, [row["id"] for row in rows if row["status"] == JobStatus.FINISHED])
    return [_to_job(row, drawn.get(row["id"], ())) for row in rows]


def _pictures(connection: Connection, job_ids: Sequence[str]) -> Mapping[str, tuple[Picture, ...]]:
    if not job_ids:
        return {}
    found: dict[str, list[Picture]] = defaultdict(list)
    query = select(pictures).where(pictures.c.job_id.in_(job_ids)).order_by(pictures.c.job_id, pictures.c.index)
    for row in connection.execute(query).mappings():
        fields = {name: row[name] for name in ("index", "seed", "sha256", "width", "height")}
        found[row["job_id"]].append(Picture(**fields, notes=tuple(row["notes"])))
    return {job_id: tuple(several) for job_id, several in found.items()}


def _to_job(row: RowMapping, drawn: tuple[Picture, ...]) -> Job:
    plain = (
        "id",
        "person",
        "created",
        "started",
        "finished",
        "epoch",
        "attempts",
        "cost",
        "error",
        "reply_to",
        "account",
    )
    return Job(
        **{name: row[name] for name in plain},
        status=JobStatus(row["status"]),
        request=_to_request(row["request"]),
        pictures=drawn,
        record=row["record"] or {},
    )


def _to_request(stored: Mapping[str, Any]) -> Request:
    """It was checked when it was accepted. Limits may have changed since, and history must stay readable."""
    try:
        return Request.model_validate(stored)
    except ValidationError:
        return Request.model_construct(**stored)
