"""Databases to test on. PostgreSQL joins as a second parameter of ``new_database``."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator

import pytest

from calotype.ledger import Ledger, upgrade


@pytest.fixture(scope="session", params=["sqlite"])
def new_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """Makes an empty database at today's schema and returns its URL."""
    folder = tmp_path_factory.mktemp(request.param)
    template = folder / "template.db"
    upgrade(f"sqlite:///{template}", None)
    numbers = itertools.count()

    def make() -> str:
        return f"sqlite:///{shutil.copy(template, folder / f'{next(numbers)}.db')}"

    return make


@pytest.fixture
def url(new_database: Callable[[], str]) -> str:
    return new_database()


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    ledger = Ledger(url)
    yield ledger
    ledger.close()
