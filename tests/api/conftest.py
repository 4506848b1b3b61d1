"""One real server for all tests of this folder, and three people who use it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from serving import Served


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("served") / "home")
    try:
        served.wait_ready()
        yield served
    finally:
        served.process.kill()
        served.process.wait()


@pytest.fixture
def api(server: Served) -> Iterator[httpx.Client]:
    """Somebody."""
    with server.client() as client:
        yield client


@pytest.fixture
def other(server: Served) -> Iterator[httpx.Client]:
    """Somebody else, by address."""
    with server.client(address="127.0.0.2") as client:
        yield client


@pytest.fixture
def operator(server: Served) -> Iterator[httpx.Client]:
    """Whoever can read the data folder."""
    with server.client(token=server.token) as client:
        yield client
