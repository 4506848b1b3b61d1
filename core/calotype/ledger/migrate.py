"""Brings a database to today's schema, before the ledger is opened on it.

A database at today's schema is recognised without alembic, which takes a quarter of a second to import. Whatever
is refused (damaged, read-only, somebody else's, newer than the program) is left exactly as it was.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from filelock import FileLock, Timeout
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from calotype.errors import DatabaseError
from calotype.ledger import postgresql
from calotype.ledger.database import BUSY_TIMEOUT, explain, is_server, open_engine, place, sqlite_file

if TYPE_CHECKING:
    from alembic.config import Config

LOCK_TIMEOUT: Final = 120.0
"""Seconds to wait for another process that is upgrading the same file."""
Run = Callable[[str], None]
"""Goes to a revision."""
_HEADER: Final = b"SQLite format 3\x00"

log = logging.getLogger(__name__)


def upgrade(url: str, backup_dir: Path | None) -> None:
    """Creates the database or brings it to today's schema; an older one is first copied to ``backup_dir`` (or not).

    Several processes may do so at once: one works, the others wait. All or nothing: an upgrade that fails leaves
    the database as it was. Raises :class:`DatabaseError` with one line that says what is wrong and what to do.
    """
    if is_server(url):
        _upgrade_server(url)
        return
    file = sqlite_file(url)
    with _explained(str(file)):
        if _is_ready(file):
            return
        try:
            with FileLock(f"{file}.upgrade.lock", timeout=LOCK_TIMEOUT):
                if not _is_ready(file):  # somebody else did it while we waited
                    _upgrade(url, file, backup_dir)
        except Timeout:
            raise _upgraded_for_ever(str(file)) from None


def current(url: str) -> str | None:
    """The schema's revision. None: no database yet, or an empty one. Raises :class:`DatabaseError` as upgrade does."""
    if is_server(url):
        with _explained(place(url)), _connected(url) as connection:
            return _revision_there(connection, place(url))
    file = sqlite_file(url)
    with _explained(str(file)):
        return _revision(file)


def head() -> str:
    """The revision that this program works with."""
    return _known()[-1]


def migrations() -> Path:
    """The folder of the migrations: inside the installed package, or beside ``core`` in the repository."""
    package = Path(__file__).parents[1]
    for folder in (package / "migrations", package.parents[1] / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise DatabaseError("database: the program's migrations are missing; install calotype again")


def _known() -> list[str]:
    """Every revision, oldest first. A migration's file name begins with its revision, which counts up: 0001, 0002 …"""
    return sorted(path.name.partition("_")[0] for path in (migrations() / "versions").glob("[0-9]*_*.py"))


def _is_ready(file: Path) -> bool:
    """Whether the file is at head and can be written. Raises if it cannot be brought there."""
    revision = _revision(file)
    if revision is None:
        return False
    refuse_newer(revision, str(file))
    with closing(_connect(file)) as connection:
        connection.execute("DELETE FROM alembic_version WHERE 0")  # changes nothing, but raises if read-only
    return revision == head()


def refuse_newer(revision: str, where: str) -> None:
    """Raises :class:`DatabaseError` if this program does not know the revision."""
    if revision not in _known():
        raise DatabaseError(
            f"database: {where}: it was written by a newer version of calotype (schema {revision}, this one knows "
            f"{head()}); install that version, or restore a backup from before its upgrade"
        )


def _revision(file: Path) -> str | None:
    if not file.parent.is_dir():  # or the lock file would create it
        raise DatabaseError(f"database: {file}: its folder does not exist; create it or name another file")
    if not file.exists() or file.stat().st_size == 0:
        return None
    with file.open("r+b") as content:  # raises if it may not be written: SQLite itself would leave files beside it
        if content.read(len(_HEADER)) != _HEADER:
            raise DatabaseError(f"database: {file}: it is not a SQLite database; move it away or name another file")
    with closing(_connect(file)) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        row = None
        if "alembic_version" in tables:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    if row is None and tables - {"alembic_version", "sqlite_sequence"}:
        raise DatabaseError(f"database: {file}: it holds another program's tables; name another file")
    return None if row is None else str(row[0])


def _connect(file: Path) -> sqlite3.Connection:
    """An existing file; it is never created here."""
    uri = f"{file.absolute().as_uri()}?mode=rw"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None)


def _upgrade(url: str, file: Path, backup_dir: Path | None) -> None:
    revision = _revision(file)
    if revision is not None:
        log.info("upgrading the database %s from schema %s to %s", file, revision, head())
        _back_up(file, revision, backup_dir)
    with _migrating(url) as (_, run):
        run("head")


@contextmanager
def exclusive(url: str) -> Iterator[tuple[Connection, Run]]:
    """A transaction in which the schema may change, while nobody else changes it; ``run("0003")`` goes there.

    Committed at the end, undone if anything is raised. A SQLite file is created if need be. Raises
    :class:`DatabaseError`.
    """
    with _explained(place(url)):
        if is_server(url):
            with _connected(url) as connection:
                postgresql.check_version(connection, place(url))
                postgresql.lock_for_upgrade(connection, LOCK_TIMEOUT)
                yield connection, partial(_run, connection)
            return
        _revision(sqlite_file(url))  # raises for whatever is no place for a database
        try:
            with FileLock(f"{sqlite_file(url)}.upgrade.lock", timeout=LOCK_TIMEOUT), _migrating(url) as migrating:
                yield migrating
        except Timeout:
            raise _upgraded_for_ever(place(url)) from None


@contextmanager
def _migrating(url: str) -> Iterator[tuple[Connection, Run]]:
    """A transaction on a SQLite file."""
    engine = open_engine(url, foreign_keys=False)  # a table that is rebuilt must not take its children along
    try:
        with engine.execution_options(writes=True).begin() as connection:
            yield connection, partial(_run, connection)
            if broken := connection.exec_driver_sql("PRAGMA foreign_key_check").first():
                raise DatabaseError(f"database: {place(url)}: rows of {broken[0]!r} refer to nothing; restore a backup")
    finally:
        engine.dispose()


def _run(connection: Connection, revision: str) -> None:
    """Goes to the revision, "head" or "base", up or down, in the connection's transaction."""
    from alembic import command

    config = _alembic()
    config.attributes["connection"] = connection
    if revision == "base":
        command.downgrade(config, revision)
    else:
        command.upgrade(config, revision)


def _upgraded_for_ever(where: str) -> DatabaseError:
    return DatabaseError(
        f"database: {where}: another process has been upgrading it for {LOCK_TIMEOUT:.0f} s; stop that one"
    )


def _alembic() -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations()).replace("%", "%%"))
    return config


def _upgrade_server(url: str) -> None:
    """As for a file, in one transaction, while other processes wait. Backups are the server's administrator's."""
    where = place(url)
    with _explained(where), _connected(url) as connection:
        postgresql.check_version(connection, where)
        if _is_ready_there(connection, where):
            return
        postgresql.lock_for_upgrade(connection, LOCK_TIMEOUT)
        if _is_ready_there(connection, where):  # somebody else did it while we waited
            return
        if (revision := _revision_there(connection, where)) is not None:
            log.info("upgrading the database %s from schema %s to %s", where, revision, head())
        _run(connection, "head")


def _is_ready_there(connection: Connection, where: str) -> bool:
    revision = _revision_there(connection, where)
    if revision is not None:
        refuse_newer(revision, where)
    return revision == head()


def _revision_there(connection: Connection, where: str) -> str | None:
    tables, row = postgresql.tables(connection), None
    if "alembic_version" in tables:
        row = connection.execute(text("SELECT version_num FROM alembic_version")).fetchone()
    if row is None and tables - {"alembic_version"}:
        raise DatabaseError(f"database: {where}: it holds another program's tables; name another database")
    return None if row is None else str(row[0])


@contextmanager
def _connected(url: str) -> Iterator[Connection]:
    """A transaction on a server, committed at the end."""
    engine = open_engine(url)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def _back_up(file: Path, revision: str, backup_dir: Path | None) -> None:
    """Copies the database, write-ahead log included, after a look at its health. Whole or not at all."""
    with closing(_connect(file)) as source:
        found = source.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise DatabaseError(f"database: {file}: it is damaged ({found.splitlines()[0]}); restore a backup")
        if backup_dir is None:
            return
        backup_dir.mkdir(parents=True, exist_ok=True)
        stem = f"{file.stem}-{revision}-{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}"
        unfinished = backup_dir / f"{stem}.partial"
        try:
            with closing(sqlite3.connect(unfinished)) as target:
                source.backup(target)
            backup = unfinished.rename(backup_dir / f"{stem}{file.suffix}")
        finally:
            unfinished.unlink(missing_ok=True)
        log.info("the database as it was before is kept in %s", backup)


@contextmanager
def _explained(where: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, DBAPIError, OSError) as error:
        raise explain(error, where) from error
