"""Brings a backup (:mod:`~calotype.ledger.archive`) back, into either database, in one transaction: all or nothing.

The tables are made as they were when the backup was taken, filled, and then upgraded: a backup of an older program
takes the same way as its database would have.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

from sqlalchemy import JSON, Column, Connection, DateTime, LargeBinary, Table, func, insert, select, text
from sqlalchemy.exc import DataError, IntegrityError

from calotype.errors import DatabaseError
from calotype.ledger import archive, migrate, postgresql
from calotype.ledger.archive import Manifest, Reader
from calotype.ledger.backup import back_up, copied, described, numbered
from calotype.ledger.database import Database, place

_AT_A_TIME: Final = 500
"""Rows that are written at once."""
_OF_THE_SERVICE: Final = {"clock", "chores_done"}
"""Tables in which there are rows although nobody has used the service yet."""


@dataclass(frozen=True)
class Restored:
    """What was done."""

    manifest: Manifest
    kept: Path | None
    """The backup of what was there before."""


def restore(url: str, file: Path, *, replace: bool, backup_dir: Path) -> Restored:
    """Fills a new or empty database from a backup.

    With ``replace`` also one that holds something, which is first backed up to ``backup_dir``. Nobody else may be at
    work on it: on SQLite the caller owns the home, on PostgreSQL it is looked after here. Raises
    :class:`DatabaseError` with what is wrong; then the database is as it was.
    """
    with archive.opened(file) as reader:
        migrate.refuse_newer(reader.manifest.schema, str(file))
        reader.check()
        kept = _keep(url, replace, backup_dir)
        with migrate.exclusive(url) as (connection, run):
            if connection.dialect.name == "postgresql" and not postgresql.alone(connection):
                raise DatabaseError(f"database: {place(url)}: a calotype service works on it; stop that one")
            run("base")
            run(reader.manifest.schema)
            try:
                for table in described(connection):
                    _fill(connection, table, reader)
            except (IntegrityError, DataError) as error:
                said = str(error.orig).splitlines()[0]
                raise DatabaseError(f"backup: {file}: its rows do not fit together ({said}); take another") from error
            run("head")
        return Restored(reader.manifest, kept)


def _keep(url: str, replace: bool, backup_dir: Path) -> Path | None:
    """Backs up what is there, if anything is. Raises :class:`DatabaseError` unless it is to be replaced."""
    revision = migrate.current(url)
    if revision is None:
        return None
    migrate.refuse_newer(revision, place(url))
    database = Database(url)
    try:
        found = database.read(_first_used)
    finally:
        database.close()
    if found is None:
        return None
    if not replace:
        raise DatabaseError(
            f"database: {place(url)}: it holds {found} already; --force replaces everything in it, after a backup"
        )
    try:
        backup_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise DatabaseError(f"backup: {backup_dir}: {error.strerror}; see whether this user may write there") from error
    kept = backup_dir / f"calotype-{revision}-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}.zip"
    back_up(url, kept)
    return kept


def _first_used(connection: Connection) -> str | None:
    """Name of a table in which there is anything."""
    for table in described(connection):
        if table.name not in _OF_THE_SERVICE and connection.execute(select(1).select_from(table).limit(1)).first():
            return table.name
    return None


def _fill(connection: Connection, table: Table, reader: Reader) -> None:
    connection.execute(table.delete())  # what the migration put there
    if table.name not in reader.manifest.rows:
        raise DatabaseError(f"backup: {table.name} is missing in it; take another backup")
    columns = {column.name: column for column in copied(table)}
    for column in columns.values():
        if isinstance(column.type, JSON):
            column.type.none_as_null = True  # or an absent value would become JSON's null
    rows = (_row(columns, row, table.name) for row in reader.rows(table.name))
    while some := list(islice(rows, _AT_A_TIME)):
        connection.execute(insert(table), some)
    _go_on_numbering(connection, table, reader.manifest.numbers.get(table.name, 0))


def _row(columns: Mapping[str, Column[Any]], row: Mapping[str, Any], table: str) -> dict[str, Any]:
    if row.keys() != columns.keys():
        raise DatabaseError(f"backup: a row of {table} has other columns than its schema; take another backup")
    return {name: _value(columns[name], value) for name, value in row.items()}


def _value(column: Column[Any], value: Any) -> Any:
    """As the database's driver takes it."""
    try:
        if value is not None and isinstance(column.type, DateTime):
            time = datetime.fromisoformat(value).astimezone(UTC)
            return time if getattr(column.type, "timezone", False) else time.replace(tzinfo=None)
        if value is not None and isinstance(column.type, LargeBinary):
            return base64.b64decode(value, validate=True)
    except (ValueError, TypeError, binascii.Error):
        raise DatabaseError(f"backup: {column.table.name}.{column.name}: {value!r:.40} is no such value") from None
    return value


def _go_on_numbering(connection: Connection, table: Table, last: int) -> None:
    """The next number is a new one, also if the rows with the highest had been deleted."""
    column = numbered(connection, table)
    if column is None:
        return
    highest = connection.scalar(select(func.max(table.c[column]))) or 0
    last = max(last, highest)
    if connection.dialect.name == "postgresql":
        given = {"t": table.name, "c": column, "n": max(last, 1), "called": last > 0}
        connection.execute(text("SELECT setval(pg_get_serial_sequence(:t, :c), :n, :called)"), given)
        return
    connection.execute(text("DELETE FROM sqlite_sequence WHERE name = :t"), {"t": table.name})
    connection.execute(text("INSERT INTO sqlite_sequence VALUES (:t, :n)"), {"t": table.name, "n": last})
