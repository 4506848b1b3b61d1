"""SIGTERM in the middle of work: what runs may end, the rest goes back at once, nothing counts against it."""

from __future__ import annotations

import signal
import time

from faults.conftest import Open, Record
from serving import until

LONG = {"prompt": "blue cat", "steps": 150, "images": 4, "sampler": "euler", "options": {"upscale": False}}
SHORT = {**LONG, "steps": 30, "images": 1}


def test_sigterm(open_service: Open, record: Record) -> None:
    service = open_service(CALOTYPE_SLOTS="2", CALOTYPE_RESIDENTS="2", CALOTYPE_DRAIN_SECONDS="6")
    service.start()
    service.until_ready()
    short = service.submit(SHORT, address="127.0.0.2")
    long = service.submit(LONG, address="127.0.0.3")
    until(lambda: {service.status(short), service.status(long)} == {"running"}, "both to run")
    waiting = [service.submit(SHORT, address=f"127.0.0.{4 + number}") for number in range(3)]
    service.process.signal(signal.SIGTERM)
    begun = time.monotonic()
    assert service.process.wait() == 0
    seconds = time.monotonic() - begun
    assert seconds < 30
    rows = {row["id"]: row for row in service.jobs()}
    assert rows[short]["status"] in ("finished", "queued")
    assert [rows[each]["status"] for each in (long, *waiting)] == ["queued"] * 4
    assert [rows[each]["epoch"] for each in waiting] == [0] * 3, "no new claims"
    assert {row["attempts"] for row in rows.values() if row["status"] == "queued"} == {0}
    service.start()
    lost = sum(row["status"] != "finished" for row in service.until_over())
    record("SIGTERM", jobs=5, lost=lost, recovery=[seconds], note="until it has ended; drain set to 6 s")
