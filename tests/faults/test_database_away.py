"""PostgreSQL goes away and comes back, or ends every connection: callers wait, nothing is lost, nothing is doubled."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from faults.conftest import Open, Record
from faults.harness import service as services
from faults.harness.load import Load, tally
from faults.harness.postgres import OwnServer, own_server
from faults.harness.service import Service
from serving import until

AWAY = 4.0
"""Seconds for which it is stopped."""


@pytest.fixture
def database() -> str:
    """SQLite has no server that could be away."""
    return "PostgreSQL"


@pytest.fixture(scope="module")
def own() -> Iterator[OwnServer]:
    with own_server() as server:
        yield server


def _loaded(open_service: Open, server: OwnServer) -> tuple[Service, Load]:
    service = open_service(url=server.new(), CALOTYPE_ATTEMPTS="1000")
    load = Load(service, services.seed(), people=3)
    service.start()
    service.until_ready()
    load.start()
    until(lambda: _finished(service) >= 2, "some jobs to be finished")
    return service, load


def _finished(service: Service) -> int:
    return int(service.rows("SELECT count(*) AS number FROM jobs WHERE status = 'finished'")[0]["number"])


def _until_one_more(service: Service) -> float:
    """Seconds from now until a result is recorded again."""
    begun, before = time.monotonic(), _finished(service)
    until(lambda: _finished(service) > before, "a result")
    return time.monotonic() - begun


def _count(load: Load) -> tuple[int, int]:
    load.stop()
    load.service.until_over()
    until(lambda: not load.service.rows("SELECT 1 AS x FROM outbox"), "the outbox to be empty")
    found = tally(load)
    print("\n".join([*found.lost, *found.doubled]))  # noqa: T201 - pytest shows it where the test fails
    return len(found.lost), len(found.doubled)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_database_restart(open_service: Open, record: Record, own: OwnServer, mode: str) -> None:
    service, load = _loaded(open_service, own)
    own.stop(mode)
    time.sleep(AWAY)
    own.start()
    seconds = _until_one_more(service)
    assert service.process.code is None
    lost, doubled = _count(load)
    kind = {"fast": "stopped as its operator does", "immediate": "as after a crash"}[mode]
    jobs, note = len(load.asked), f"away for {AWAY:.0f} s; until the next result is recorded"
    record(f"database restart, {kind}", jobs=jobs, lost=lost, doubled=doubled, recovery=[seconds], note=note)


def test_every_connection_ended(open_service: Open, record: Record, own: OwnServer) -> None:
    service, load = _loaded(open_service, own)
    times = []
    for _ in range(8):
        time.sleep(0.5)
        ended = own.do(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE application_name = 'calotype' AND pid <> pg_backend_pid()"
        )
        assert ended > 0
        times.append(_until_one_more(service))
    assert service.process.code is None
    lost, doubled = _count(load)
    fault, jobs = "lost database connections (all of them)", len(load.asked)
    record(fault, runs=len(times), jobs=jobs, lost=lost, doubled=doubled, recovery=times)
