"""The parts of the service as processes of their own, at a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from databases import PostgresServer, postgres_server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server
