"""A connection of its own to PostgreSQL, whose end the server notices: what it locks is free once its process is gone.

So processes show that they live, and one of several is chosen for what only one may do. Locks are advisory, of two
numbers: what kind it is, and a digest of a name.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import Final
from zlib import crc32

from sqlalchemy import Connection, Engine, TextClause, text
from sqlalchemy.exc import SQLAlchemyError

from calotype.errors import DatabaseError
from calotype.ledger import postgresql

CHANNEL: Final = "calotype"
"""Of NOTIFY: one a database."""
_OURS: Final = 0x43414C00
"""Tells our locks from those of other programs: "CAL"."""


class Kind(IntEnum):
    """What a lock stands for."""

    WORKER = _OURS + 1
    """A process that runs jobs lives."""
    READY = _OURS + 2
    """Its engine is loaded."""
    LEADER = _OURS + 3
    """Does the chores."""
    FRONT_END = _OURS + 4
    """Is the one active process of that front end."""
    IMAGES = _OURS + 5
    """Keeps its pictures in that folder; shared by all of them."""


def number_of(name: str) -> int:
    """The number that stands for a name in a lock, as the server lists it."""
    return crc32(name.encode())


def holders(connection: Connection, kind: Kind) -> set[int]:
    """Numbers of the names that are locked now, by whomever."""
    query = text(
        "SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted"
        " AND classid = CAST(:kind AS bigint) AND database = (SELECT oid FROM pg_database"
        " WHERE datname = current_database())"
    )
    return set(connection.scalars(query, {"kind": int(kind)}))


class Session:
    """Locks that last as long as this process and its connection, and NOTIFY. Thread-safe. PostgreSQL only.

    A connection that broke is made anew at the next call, and what it held is locked again, unless somebody was
    faster. Methods raise SQLAlchemyError if the server cannot be reached, and :class:`DatabaseError` while a
    backup is restored.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._mutex = threading.RLock()
        self._connection: Connection | None = None
        self._held: dict[tuple[Kind, int], bool] = {}
        """What is locked, and whether it is shared."""
        self._pids: deque[int] = deque(maxlen=16)
        self._closed = False
        self.begun = time.monotonic()
        """When the present connection was made: whoever else lost theirs may not be back yet."""

    def lock(self, kind: Kind, name: str = "", *, shared: bool = False) -> bool:
        """Whether it is ours, now. Does not wait."""
        key = (kind, number_of(name))
        with self._working() as connection:
            if key in self._held:
                connection.execute(text("SELECT 1"))  # raises if the connection, and with it the lock, is gone
                return True
            if _try(connection, key, shared):
                self._held[key] = shared
            return key in self._held

    def unlock(self, kind: Kind, name: str = "") -> None:
        """Gives it up, if it is ours."""
        key = (kind, number_of(name))
        with self._working() as connection:
            if (shared := self._held.pop(key, None)) is not None:
                words = "pg_advisory_unlock_shared" if shared else "pg_advisory_unlock"
                connection.execute(_call(words), _numbers(key))

    def ping(self) -> None:
        """Makes a broken connection anew, with its locks."""
        with self._working() as connection:
            connection.execute(text("SELECT 1"))

    def say(self, payloads: Sequence[str]) -> None:
        """NOTIFY, to every process that listens. Outside any transaction of the ledger: it serialises commits."""
        if payloads:
            with self._working() as connection:
                query = text("SELECT pg_notify(:channel, said) FROM unnest(CAST(:payloads AS text[])) AS said")
                connection.execute(query, {"channel": CHANNEL, "payloads": list(payloads)})

    def is_own(self, pid: int) -> bool:
        """Whether that backend is or was this session's."""
        return pid in self._pids

    def close(self) -> None:
        """Frees all that is locked. Final."""
        with self._mutex:
            self._closed = True
            if self._connection is not None:
                with suppress(SQLAlchemyError):  # at once: the server notices an end only in its own time
                    self._connection.execute(text("SELECT pg_advisory_unlock_all()"))
            self._drop()

    @contextmanager
    def _working(self) -> Iterator[Connection]:
        with self._mutex:
            if self._connection is None:
                if self._closed:
                    raise RuntimeError("the session is closed")
                self._connect()
            assert self._connection is not None
            try:
                yield self._connection
            except SQLAlchemyError:
                self._drop()
                raise

    def _connect(self) -> None:
        connection = self._engine.connect()
        try:
            connection.execute(text("SET tcp_keepalives_idle = 10"))  # a machine that lost its power is noticed
            connection.execute(text("SET tcp_keepalives_interval = 5"))
            connection.execute(text("SET tcp_keepalives_count = 3"))
            if not postgresql.attend(connection):
                raise DatabaseError("database: a backup is being restored; start again when that is done")
            pid = connection.scalar(text("SELECT pg_backend_pid()"))
            self._held = {key: shared for key, shared in self._held.items() if _try(connection, key, shared)}
        except BaseException:
            connection.invalidate()
            connection.close()
            raise
        self._pids.append(int(pid or 0))
        self._connection, self.begun = connection, time.monotonic()

    def _drop(self) -> None:
        if self._connection is not None:
            gone, self._connection = self._connection, None
            with suppress(SQLAlchemyError):  # one that is broken may break at this too
                gone.invalidate()  # ends the session on the server; the pool must not hand it on
                gone.close()


def _try(connection: Connection, key: tuple[Kind, int], shared: bool) -> bool:
    words = "pg_try_advisory_lock_shared" if shared else "pg_try_advisory_lock"
    return bool(connection.scalar(_call(words), _numbers(key)))


def _call(function: str) -> TextClause:
    return text(f"SELECT {function}(CAST(:kind AS int4), CAST(:name AS int4))")


def _numbers(key: tuple[Kind, int]) -> dict[str, int]:
    kind, name = key
    return {"kind": int(kind), "name": name - 2**32 if name >= 2**31 else name}


def absent(names: Collection[str], numbers: Collection[int]) -> set[str]:
    """Which of these names are not locked."""
    return {name for name in names if number_of(name) not in numbers}
