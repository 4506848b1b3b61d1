"""Every test of the ledger runs on both databases."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from calotype.ledger import Ledger
from databases import PostgresServer, emptied_server, postgres_server, sqlite_databases


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def new_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """Makes an empty database at today's schema and returns its URL."""
    if request.param == "sqlite":
        return sqlite_databases(tmp_path_factory.mktemp("sqlite"))
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.ready


@pytest.fixture(scope="session")
def emptied(new_database: Callable[[], str]) -> Callable[[], str]:
    """Makes a database without rows, of which the one before may be gone: for a test that wants very many."""
    url = new_database()
    return (lambda: emptied_server(url)) if url.startswith("postgresql:") else new_database


@pytest.fixture
def url(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    ledger = Ledger(url)
    yield ledger
    ledger.close()
