"""PostgreSQL behind the ledger: how it is opened, who owns it, and what its errors mean to a person.

The driver is psycopg (``pip install 'calotype[postgresql]'``). Nothing here holds a password: it stays in the URL.
"""

from __future__ import annotations

import json
from functools import partial
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError

from calotype.errors import DatabaseError

OLDEST: Final = 15
"""The first major version that is tested."""
_CONNECT_TIMEOUT: Final = 10
"""Seconds that a server may take to answer."""
_OWNER: Final = 0x43414C4F
"""Key of the advisory lock of the one service that works on a database: "CALO"."""
_UPGRADER: Final = _OWNER + 1
_AGAIN: Final = frozenset({"40001", "40P01"})
"""SQLSTATE of transactions that were undone only because of another one: serialization failure, deadlock."""


def open_engine(url: URL) -> Engine:
    """An engine on a server; nothing is connected yet. Raises :class:`DatabaseError` without the driver."""
    try:
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            connect_args={"connect_timeout": _CONNECT_TIMEOUT, "application_name": "calotype"},
            json_serializer=partial(json.dumps, ensure_ascii=False, allow_nan=False),
            hide_parameters=True,  # prompts and tokens must not come into the log with a database error
            pool_pre_ping=True,  # a server that was restarted is met by a new connection, not by an error
            max_overflow=-1,  # as many connections as threads are at work
        )
    except ModuleNotFoundError:
        raise DatabaseError("database: PostgreSQL needs its driver: pip install 'calotype[postgresql]'") from None

    @event.listens_for(engine, "connect")
    def _connected(connection: Any, _: Any) -> None:
        # an operator's server may be set otherwise; what was acknowledged must survive a power cut
        connection.execute("SET synchronous_commit = on")
        connection.execute("SET timezone = 'UTC'")
        connection.commit()

    return engine


def place(url: URL) -> str:
    """How the database is called in messages: without user and password."""
    port = f":{url.port}" if url.port else ""
    return f"postgresql://{url.host or ''}{port}/{url.database or ''}"


def was_undone(error: BaseException) -> bool:
    """Whether the transaction failed only because of another one, so that it may simply be done again."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _AGAIN


def check_version(connection: Connection, where: str) -> None:
    """Raises :class:`DatabaseError` for a server that is too old."""
    number = int(connection.scalar(text("SHOW server_version_num")) or 0)
    if number < OLDEST * 10_000:
        raise DatabaseError(f"database: {where}: PostgreSQL {number // 10_000} is too old; use {OLDEST} or newer")


def own(connection: Connection) -> bool:
    """Makes the connection's session the owner of the database until it ends. False if another one is."""
    return bool(connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _OWNER}))


def alone(connection: Connection) -> bool:
    """Whether no other process of calotype is connected to this database; none begins to own it before the commit."""
    others = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND application_name LIKE 'calotype%' AND pid <> pg_backend_pid()"
    )
    mine = connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": _OWNER})
    return bool(mine) and not connection.scalar(others)


def lock_for_upgrade(connection: Connection, seconds: float) -> None:
    """Waits until no other session upgrades this database; it is this one's turn until its transaction ends."""
    connection.execute(text(f"SET LOCAL lock_timeout = '{round(seconds * 1000)}ms'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADER})
    connection.execute(text("SET LOCAL lock_timeout = DEFAULT"))


def tables(connection: Connection) -> set[str]:
    """Names of the tables where ours are or would be."""
    query = text("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    return set(connection.scalars(query))


ADVICE: Final = {
    "password authentication failed": "check user and password in CALOTYPE_DATABASE_URL",
    "no password supplied": "CALOTYPE_DATABASE_URL needs a password: postgresql://user:password@host/database",
    "connection refused": "see whether the server runs and listens there",
    "no such file or directory": "see whether the server runs, or name its host in CALOTYPE_DATABASE_URL",
    "failed to resolve host": "check the host in CALOTYPE_DATABASE_URL",
    "name or service not known": "check the host in CALOTYPE_DATABASE_URL",
    "timeout expired": "see whether the server can be reached from here",
    "lock timeout": "another process has been upgrading it; stop that one",
    "too many clients": "raise max_connections on the server",
    "remaining connection slots": "raise max_connections on the server",
    "server closed the connection": "the server was stopped or restarted; it is tried again",
    "terminating connection": "the server was stopped or restarted; it is tried again",
    "the database system is": "the server is starting or stopping; try again in a moment",
    "relation": "it was not prepared; start calotype on it once, which upgrades it",
    "column": "it was not upgraded; start calotype on it once, which upgrades it",
    "database": "create it first: createdb, as the server's administrator",
    "role": "create that user first, or name another one in CALOTYPE_DATABASE_URL",
    "permission denied": "let this user create tables there: GRANT CREATE ON SCHEMA public TO the user",
    "no space": "free some disk space on the server",
}
"""What to do about a message that holds these words; the first that fits."""
