"""Copies a database into one file (:mod:`~calotype.ledger.archive`), also while a service works on it.

What is copied is one snapshot, read by the database's own description of its tables, so that one that is older than
the program can be copied as well. What makes a picture or a job findable (search indexes) is made again at a restore.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Column, Connection, MetaData, Table, select, text
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.types import NullType

from calotype import __version__
from calotype.errors import DatabaseError
from calotype.ledger import archive, migrate
from calotype.ledger.archive import Manifest
from calotype.ledger.database import Database, place
from calotype.ledger.tables import metadata

_LEFT_OUT: Final = {"steps"}
"""What is worth nothing a second later."""
_AT_A_TIME: Final = 500
"""Rows that are read from the server at once."""


def back_up(url: str, file: Path) -> Manifest:
    """Writes the backup; it is there as a whole or not at all. Raises :class:`DatabaseError`."""
    revision = migrate.current(url)
    if revision is None:
        raise DatabaseError(f"database: {place(url)}: there is nothing to back up yet")
    migrate.refuse_newer(revision, place(url))
    database = Database(url)
    try:
        with archive.written(file) as writer:
            return database.read(_copy, writer, revision)
    finally:
        database.close()


def _copy(connection: Connection, writer: archive.Writer, revision: str) -> Manifest:
    there = connection.scalar(text("SELECT version_num FROM alembic_version"))
    if there != revision:
        raise DatabaseError("database: it was just upgraded; try again")
    tables = described(connection)
    rows = {table.name: writer.table(table.name, _rows(connection, table)) for table in tables}
    numbers = {table.name: number for table in tables if (number := last_number(connection, table)) is not None}
    made = datetime.now(UTC).isoformat(timespec="seconds")
    manifest = Manifest(revision, connection.dialect.name, made, __version__, rows, numbers)
    writer.finish(manifest)
    return manifest


def described(connection: Connection) -> list[Table]:
    """Our tables as they are in the database now, those that others refer to first."""
    ours = metadata.tables.keys() - _LEFT_OUT
    there = MetaData()
    there.reflect(connection, only=lambda name, _: name in ours)
    return there.sorted_tables


def copied(table: Table) -> list[Column[Any]]:
    """Those columns that hold something themselves: what is generated from others is left out."""
    return [
        column
        for column in table.columns
        if column.computed is None and not isinstance(column.type, TSVECTOR | NullType)
    ]


def numbered(connection: Connection, table: Table) -> str | None:
    """The column for which the database gives out numbers; None if there is none."""
    for column in table.primary_key:
        if connection.dialect.name == "postgresql":
            if column.identity is not None or "nextval" in str(getattr(column.server_default, "arg", "")):
                return column.name
        elif table.name in _numbered_in_sqlite(connection):
            return column.name
    return None


def last_number(connection: Connection, table: Table) -> int | None:
    """The last number that was given out; 0 before the first; None if the table numbers nothing."""
    column = numbered(connection, table)
    if column is None:
        return None
    if connection.dialect.name == "postgresql":
        sequence = connection.scalar(text("SELECT pg_get_serial_sequence(:t, :c)"), {"t": table.name, "c": column})
        quoted = connection.execute(text(f"SELECT last_value, is_called FROM {sequence}")).one()  # noqa: S608
        return int(quoted.last_value) if quoted.is_called else 0
    found = connection.scalar(text("SELECT seq FROM sqlite_sequence WHERE name = :t"), {"t": table.name})
    return int(found or 0)


def _numbered_in_sqlite(connection: Connection) -> set[str]:
    return set(connection.scalars(text("SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%'")))


def _rows(connection: Connection, table: Table) -> Iterator[dict[str, Any]]:
    query = select(*copied(table)).order_by(*table.primary_key)
    for row in connection.execute(query, execution_options={"yield_per": _AT_A_TIME}).mappings():
        yield dict(row)
