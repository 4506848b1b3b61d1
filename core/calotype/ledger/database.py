"""The database behind the ledger: how it is opened, written and read, and what its errors mean to a person.

A transaction is a function that takes a connection: ``database.write(queue.claim, 1)``. So the ledger's parts
know neither locks nor commits, and on SQLite several of them may share one (:mod:`~calotype.ledger.grouping`).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError

from calotype.errors import DatabaseError
from calotype.ledger import postgresql
from calotype.ledger.grouping import Group

BUSY_TIMEOUT: Final = 10.0
"""Seconds a transaction waits for another process that holds the file."""
OLDEST_SQLITE: Final = (3, 35)
"""The first with RETURNING."""

_TRIES: Final = 5
"""Of a transaction that is undone because of others."""
_USE: Final = "use sqlite:///folder/calotype.db or postgresql://user:password@host/database"

P = ParamSpec("P")
T = TypeVar("T")


def parsed(url: str) -> URL:
    """The URL, if it is one of a SQLite file or of a PostgreSQL database. Raises :class:`DatabaseError`."""
    try:
        found: URL = make_url(url)
    except ArgumentError:
        # the text is not repeated: it may hold a password
        raise DatabaseError(f"database: not a database URL; {_USE}") from None
    if found.get_backend_name() == "postgresql":
        if not found.database:
            raise DatabaseError(f"database: {postgresql.place(found)}: the URL names no database; {_USE}")
        return found
    if found.get_backend_name() != "sqlite":
        raise DatabaseError(f"database: {found.get_backend_name()!r} is not supported; {_USE}")
    if not found.database or found.database == ":memory:" or found.database.startswith("file:"):
        raise DatabaseError(f"database: the URL names no file; {_USE}")
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise DatabaseError(f"database: SQLite {sqlite3.sqlite_version} is too old; Python needs one of 3.35 or newer")
    return found


def is_server(url: str) -> bool:
    """Whether it is a PostgreSQL database and not a file. Raises :class:`DatabaseError` if it is neither."""
    return parsed(url).get_backend_name() == "postgresql"


def sqlite_file(url: str) -> Path:
    """The file of a SQLite database."""
    return Path(parsed(url).database or "")


def place(url: str) -> str:
    """How the database is called in messages: its file, or its server without user and password."""
    return postgresql.place(parsed(url)) if is_server(url) else str(sqlite_file(url))


def open_engine(url: str, *, foreign_keys: bool = True) -> Engine:
    """An engine whose transactions begin where they say they begin.

    On SQLite by SQLAlchemy's documented recipe: the driver's own idea of when to BEGIN is switched off, ours is sent.
    An engine with the execution option ``writes=True`` takes the write lock at once (BEGIN IMMEDIATE), so that no
    transaction fails half-way because another one wrote in between. ``foreign_keys=False`` is for migrations.
    """
    if is_server(url):
        return postgresql.open_engine(parsed(url))
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


def explain(error: BaseException, where: str) -> DatabaseError:
    """One line about a database error: what is wrong with which database (see :func:`place`), and what to do."""
    said = str(error.orig if isinstance(error, DBAPIError) else error).strip() or type(error).__name__
    server = where.startswith("postgresql:")
    advice = "see the server's log" if server else "see whether the file can be read and written"
    for sign, words in (postgresql.ADVICE if server else _ADVICE).items():
        if sign in said.lower():
            advice = words
            break
    return DatabaseError(f"database: {where}: {' '.join(said.split())}; {advice}")


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
    """One SQLite file, or one PostgreSQL database. Safe from several threads: any number read while one writes."""

    def __init__(self, url: str) -> None:
        self._place = place(url)
        self._engine = open_engine(url)
        self._owner: Connection | None = None
        if is_server(url):
            self._reader: Engine = self._engine.execution_options(
                isolation_level="REPEATABLE READ", postgresql_readonly=True
            )  # one snapshot for all that is read
            self._group: Group | None = None  # rows are locked, not the database; the server groups commits itself
        else:
            self._reader = self._engine
            # Threads queue here, in memory, and not in SQLite's busy handler, which sleeps and is not fair.
            self._group = Group(self._engine.execution_options(writes=True))

    def own(self) -> None:
        """Be the one service that works on this database, until it is closed. Raises :class:`DatabaseError`.

        A SQLite file is owned with its home.
        """
        if self._engine.dialect.name == "sqlite" or self._owner is not None:
            return
        with self._explained():
            owner = self._engine.execution_options(isolation_level="AUTOCOMMIT").connect()
        if not postgresql.own(owner):
            owner.close()
            raise DatabaseError(f"database: {self._place}: another calotype service works on it; stop that one")
        self._owner = owner

    def write(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``work(connection, …)``, all of it or nothing; durable when this returns.

        Raises :class:`DatabaseError` if it cannot be written; then nothing was. ``work`` may not call back, and is
        done again if the database undid it only because of another transaction. It may be done by another thread.
        """
        for tries_left in reversed(range(_TRIES)):
            try:
                return self._write(lambda connection: work(connection, *args, **kwargs))
            except IntegrityError:
                raise  # not the database's fault but ours
            except DBAPIError as error:
                if not (tries_left and postgresql.was_undone(error)):
                    raise explain(error, self._place) from error
        raise AssertionError("the last try returns or raises")

    def _write(self, work: Callable[[Connection], T]) -> T:
        if self._group is not None:
            return self._group.write(work)
        with self._engine.begin() as connection:
            return work(connection)

    def read(self, work: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """``work(connection, …)`` on one consistent snapshot. Raises :class:`DatabaseError` if it cannot be read."""
        with self._explained(), self._reader.connect() as connection:
            return work(connection, *args, **kwargs)

    def close(self) -> None:
        """Closes every connection; SQLite's last one folds the write-ahead log into the file."""
        with nullcontext() if self._group is None else self._group.paused():
            if self._owner is not None:
                self._owner.invalidate()  # ends the session, and with it what it owns
                self._owner.close()
                self._owner = None
            self._engine.dispose()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except DBAPIError as error:
            raise explain(error, self._place) from error
