"""Databases of either kind for what stands on the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from databases import PostgresServer, postgres_server, sqlite_databases


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database at today's schema."""
    if request.param == "sqlite":
        return sqlite_databases(tmp_path)()
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.ready()
