"""Jobs that take the service down with them, or hold it up."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import httpx
import pytest

from faults.conftest import Open, Record
from faults.harness.service import Service
from serving import until

PLAIN: dict[str, Any] = {"prompt": "blue cat", "steps": 2, "sampler": "euler", "options": {"upscale": False}}
NEIGHBOURS = 3


def _order(service: Service, **orders: Any) -> None:
    service.home.mkdir(exist_ok=True)
    (service.home / "faulty.json").write_text(json.dumps(orders), "utf-8")


@pytest.mark.parametrize("how", ["exit", "segfault"])
def test_a_job_that_kills_its_host(open_service: Open, record: Record, how: str) -> None:
    service = open_service()
    _order(service, at=1, do=how)
    service.start()
    service.until_ready()
    # of other people, and long enough to be running whenever it dies
    company = [
        service.submit({**PLAIN, "steps": 60, "seed": number}, address=f"127.0.0.{number + 2}")
        for number in range(NEIGHBOURS)
    ]
    with contextlib.suppress(httpx.HTTPError):  # it may die before it has said that it took the killer in
        service.submit({**PLAIN, "sampler": "faulty", "steps": 4})
    (killer,) = {row["id"] for row in service.jobs()} - set(company)
    ends = 0
    while service.status(killer) in ("queued", "running"):
        assert service.process.wait() not in (0, None)
        ends += 1
        assert ends <= 3, service.jobs(killer)
        begun = time.monotonic()
        service.start()
        if ends == 3:
            until(lambda: service.status(killer) == "failed", "the dead letter")
    seconds = time.monotonic() - begun
    rows = service.until_over()
    (dead,) = service.jobs(killer)
    assert ends == 3 and dead["attempts"] == 3
    assert "3 times" in dead["error"]
    lost = sum(row["status"] != "finished" for row in rows if row["id"] in company)
    record(f"a job that kills its host ({how})", runs=3, jobs=1 + NEIGHBOURS, lost=lost, recovery=[seconds])


@pytest.mark.parametrize("how", ["hang", "sleep"])
def test_an_engine_that_freezes(open_service: Open, record: Record, how: str) -> None:
    service = open_service(CALOTYPE_PLUGIN_SECONDS="3")
    _order(service, at=1, do=how)
    service.start()
    service.until_ready()
    company = [service.submit({**PLAIN, "steps": 60, "seed": n}, address=f"127.0.0.{n + 2}") for n in range(2)]
    frozen = service.submit({**PLAIN, "sampler": "faulty"})
    until(lambda: service.status(frozen) == "running", "it to begin")
    begun = time.monotonic()
    until(lambda: service.status(frozen) == "failed", "the watchdog")
    seconds = time.monotonic() - begun
    rows = service.until_over(*company)
    lost = sum(row["status"] != "finished" for row in rows)
    kind = {"hang": "in Python", "sleep": "in C"}[how]
    note = "from the claim; limit set to 3 s"
    record(f"the engine freezes {kind}", jobs=3, lost=lost, recovery=[seconds], note=note)
    assert service.process.code is None, "the service itself went on"
