"""The ledger for somebody who only looks: nothing is written, upgraded or owned, and a service may be at work on it.

Only columns are read that every schema has had, so a database that is older than the program can be looked at as well.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError
from sqlalchemy import ColumnElement, Connection, RowMapping, create_engine, inspect, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from calotype.errors import DatabaseError
from calotype.job import Job, JobStatus, Picture
from calotype.ledger import removed
from calotype.ledger.database import BUSY_TIMEOUT, Database, explain, is_server, sqlite_file
from calotype.ledger.tables import init_images, jobs, masks, pictures, removed_pictures, uploads
from calotype.request import Request

_PLAIN: Final = ("id", "person", "created", "started", "finished", "epoch", "attempts", "cost", "error")
_DRAWN: Final = ("job_id", "index", "seed", "sha256", "width", "height", "notes")

T = TypeVar("T")


class LedgerReader:
    """Jobs and their pictures at a URL. Raises :class:`DatabaseError` if there is nothing to read."""

    def __init__(self, url: str) -> None:
        """Opens nothing yet."""
        self._url = url

    def job(self, job_id: str) -> Job | None:
        """The job as it now stands. None if it is unknown."""
        found = self._read(lambda connection: _jobs(connection, jobs.c.id == job_id))
        return found[0] if found else None

    def drawn_by(self, sha256: str) -> Job | None:
        """The job that made the picture; of several the newest. None if none did."""
        drew = select(pictures.c.job_id).where(pictures.c.sha256 == sha256)
        found = self._read(lambda connection: _jobs(connection, jobs.c.id.in_(drew)))
        return found[0] if found else None

    def took_in(self, sha256: str) -> bool:
        """Whether the picture was brought from elsewhere, to start from or as a mask."""
        return self._read(lambda connection: _is_named(connection, sha256))

    def removed(self, sha256: str) -> bool:
        """Whether an operator removed the picture's file on purpose."""
        return self._read(lambda connection: _is_removed(connection, sha256))

    def _read(self, work: Callable[[Connection], T]) -> T:
        if not is_server(self._url):
            with _file(sqlite_file(self._url)) as connection:
                return work(connection)
        database = Database(self._url)
        try:
            return database.read(work)
        finally:
            database.close()


@contextmanager
def _file(file: Path) -> Iterator[Connection]:
    """Where no writer is at work there is no log beside the file: SQLite is told so, or it would make one."""
    if not file.is_file():
        raise DatabaseError(f"database: {file}: there is none; nothing was made here yet")
    if file.stat().st_size == 0:
        raise DatabaseError(f"database: {file}: it is empty; nothing was made here yet")
    how = "mode=ro" if file.with_name(f"{file.name}-wal").exists() else "immutable=1"
    uri = f"{file.absolute().as_uri()}?{how}"
    engine = create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT),
        poolclass=NullPool,
        hide_parameters=True,
    )
    try:
        with engine.connect() as connection:
            yield connection
    except SQLAlchemyError as error:
        raise explain(error, str(file)) from error
    finally:
        engine.dispose()


def _jobs(connection: Connection, which: ColumnElement[bool]) -> list[Job]:
    """Newest first."""
    columns = [jobs.c[name] for name in (*_PLAIN, "status", "request", "record")]
    rows = connection.execute(select(*columns).where(which).order_by(jobs.c.seq.desc()).limit(1)).mappings().all()
    return [_to_job(row, _pictures(connection, row["id"])) for row in rows]


def _pictures(connection: Connection, job_id: str) -> tuple[Picture, ...]:
    columns = [pictures.c[name] for name in _DRAWN]
    query = select(*columns).where(pictures.c.job_id == job_id).order_by(pictures.c.index)
    fields = ("index", "seed", "sha256", "width", "height")
    return tuple(
        Picture(**{name: row[name] for name in fields}, notes=tuple(row["notes"]))
        for row in connection.execute(query).mappings()
    )


def _to_job(row: RowMapping, drawn: tuple[Picture, ...]) -> Job:
    fields: dict[str, Any] = {name: row[name] for name in _PLAIN}
    stored = row["request"]
    try:
        request = Request.model_validate(stored)
    except ValidationError:  # limits have changed since
        request = Request.model_construct(**stored)
    return Job(**fields, status=JobStatus(row["status"]), request=request, pictures=drawn, record=row["record"] or {})


def _is_removed(connection: Connection, sha256: str) -> bool:
    there = removed_pictures.name in inspect(connection).get_table_names()  # older schemas do not know
    return there and sha256 in removed.among(connection, [sha256])


def _is_named(connection: Connection, sha256: str) -> bool:
    there = set(inspect(connection).get_table_names())  # older schemas have fewer
    tables = [table for table in (uploads, init_images, masks) if table.name in there]
    return any(
        connection.scalar(select(table.c.sha256).where(table.c.sha256 == sha256).limit(1)) is not None
        for table in tables
    )
