"""The clock of the machine jumps by an hour, forwards and backwards, while jobs run: none is stolen, lost or doubled.

The server's interpreter begins with a ``sitecustomize`` of this folder, which puts an hour of a file's choosing on
``time.time`` and ``datetime.now`` before anything else is imported. Real clocks are left alone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest

from faults.conftest import Open, Record
from faults.harness import service as services
from faults.harness.launching import Launcher
from faults.harness.load import Load, tally
from faults.harness.service import HERE, Service
from serving import until

HOUR = 3600


@pytest.mark.parametrize("jumps", [(HOUR, 0), (-HOUR, 0)], ids=["forwards", "backwards"])
def test_the_clock_jumps(
    open_service: Open, cold: Launcher, record: Record, tmp_path: Path, jumps: tuple[int, ...]
) -> None:
    clock = tmp_path / "clock"
    clock.write_text("0")
    path = os.pathsep.join([str(HERE / "clock"), os.environ["PYTHONPATH"]])
    service = open_service(by=cold, PYTHONPATH=path, FAULTS_CLOCK=str(clock))
    load = Load(service, services.seed(), people=3)
    service.start()
    service.until_ready()
    load.start()
    try:
        for shift in jumps:
            _until_more(service, 3)
            clock.write_text(str(shift))
            _until_more(service, 3)
        # and once more between two starts
        service.kill()
        clock.write_text(str(-jumps[0]))
        service.start()
    finally:
        load.stop()
    service.until_over()
    until(lambda: not service.rows("SELECT 1 AS x FROM outbox"), "the outbox to be empty")
    found = tally(load)
    print("\n".join([*found.lost, *found.doubled]))  # noqa: T201 - pytest shows it where the test fails
    # each was claimed once, and once more where the kill hit it
    epochs = [int(row["epoch"]) for row in service.jobs()]
    stolen = sum(epoch > 2 for epoch in epochs)
    lost, doubled = len(found.lost) + stolen, len(found.doubled)
    record("clock jumps by an hour", runs=len(jumps) + 1, jobs=len(load.asked), lost=lost, doubled=doubled)
    assert any(abs(hours) > 0.5 for hours in _hours_off(service.log)), "the clock did jump"


def _until_more(service: Service, number: int) -> None:
    sql = "SELECT count(*) AS number FROM jobs WHERE status = 'finished'"
    before = service.rows(sql)[0]["number"]
    until(lambda: service.rows(sql)[0]["number"] >= before + number, "more jobs to be finished")


def _hours_off(log: Path) -> Iterator[float]:
    """How far the times in the service's log are from this process's clock."""
    for line in log.read_text("utf-8", "replace").splitlines():
        with suppress(ValueError):
            yield (datetime.fromisoformat(line[:19]).timestamp() - time.time()) / HOUR
