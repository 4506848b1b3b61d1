"""The database behind the ledger: how it is opened, written and read, and what its errors mean to a person.

A transaction is a function that takes a connection: ``database.write(queue.claim, 1)``. So the ledger's parts
know neither locks nor commits, and a writer that puts several of them into one commit can come later.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError

from calotype.errors import DatabaseError

BUSY_TIMEOUT: Final = 10.0
"""Seconds a transaction waits for another process that holds the file."""
OLDEST_SQLITE: Final = (3, 35)
"""The first with RETURNING."""

P = ParamSpec("P")
T = TypeVar("T")


def sqlite_file(url: str) -> Path:
    """The file that ``url`` names. Raises :class:`DatabaseError` for anything but a SQLite file."""
    try:
        parsed: URL = make_url(url)
    except ArgumentError:
        # the text is not repeated: it may hold a password
        raise DatabaseError("database: not a database URL; use sqlite:///folder/calotype.db") from None
    if parsed.get_backend_name() != "sqlite":
        raise DatabaseError(
            f"database: {parsed.get_backend_name()!r} is not supported by this version; use sqlite:///folder/calotype.db"
        )
    if not parsed.database or parsed.database == ":memory:" or parsed.database.startswith("file:"):
        raise DatabaseError("database: the URL names no file; use sqlite:///folder/calotype.db")
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise DatabaseError(f"database: SQLite {sqlite3.sqlite_version} is too old; Python needs one of 3.35 or newer")
    return Path(parsed.database)


def open_engine(url: str, *, foreign_keys: bool = True) -> Engine:
    """An engine on a SQLite file whose transactions begin where they say they begin.

    SQLAlchemy's documented recipe: the driver's own idea of when to BEGIN is switched off, ours is sent. An engine
    with the execution option ``writes=True`` takes the write lock at once (BEGIN IMMEDIATE), so that no
    transaction fails half-way because another one wrote in between. ``foreign_keys=False`` is for migrations.
    """
    sqlite_file(url)  # raises what is wrong with it
    engine = create_engine(
        url,
        connect_args={"timeout": BUSY_TIMEOUT},
        json_serializer=partial(json.dumps, ensure_ascii=False, allow_nan=False),
        hide_parameters=True,  # prompts and tokens must not come into the log with a database error
        max_overflow=-1,  # as many connections as threads read; the writer is one
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # what was committed survives a power cut
        connection.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def explain(error: BaseException, file: Path) -> DatabaseError:
    """One line about a database error: what is wrong with which file, and what to do."""
    said = str(error.orig if isinstance(error, DBAPIError) else error).strip() or type(error).__name__
    advice = "see whether the file can be read and written"
    for sign, words in _ADVICE.items():
        if sign in said.lower():
            advice = words
            break
    return DatabaseError(f"database: {file}: {' '.join(said.split())}; {advice}")


_ADVICE: Final = {
    "not a database": "it is damaged or something else; restore a backup or move it away",
    "malformed": "it is damaged; restore a backup or move it away",
    "readonly": "make the file and its folder writable for this user",
    "read-only": "make the file and its folder writable for this user",
    "permission denied": "make the file and its folder readable and writable for this user",
    "unable to open": "see whether its folder exists and this user may write there",
    "no such file": "create its folder first",
    "is full": "free some disk space",
    "no space": "free some disk space",
    "locked": "another process holds it; stop that one or try again",
    "no such table": "it was not prepared; start calotype on it once, which upgrades it",
    "no such column": "it was not upgraded; start calotype on it once, which upgrades it",
}


class Database:
    """One SQLite file. Safe from several threads: any number read while one writes."""

    def __init__(self, url: str) -> None:
        self.file = sqlite_file(url)
        self._engine = open_engine(url)
        self._writer = self._engine.execution_options(writes=True)
        # Threads queue here, in memory, and not in SQLite's busy handler, which sleeps and is not fair.
        self._writing = threading.Lock()

    def write(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``work(connection, …)`` in a transaction of its own, alone; durable when this returns.

        Raises :class:`DatabaseError` if the file cannot be written; then nothing was. ``work`` may not call back.
        """
        with self._explained(), self._writing, self._writer.begin() as connection:
            return work(connection, *args, **kwargs)

    def read(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``work(connection, …)`` on one consistent snapshot. Raises :class:`DatabaseError` if it cannot be read."""
        with self._explained(), self._engine.connect() as connection:
            return work(connection, *args, **kwargs)

    def close(self) -> None:
        """Closes every connection; the last one folds the write-ahead log into the file."""
        with self._writing:
            self._engine.dispose()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise  # not the file's fault but ours
        except DBAPIError as error:
            raise explain(error, self.file) from error
