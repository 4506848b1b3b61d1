"""kill -9 of the process that is everything, at each point of a job's way through it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from faults.conftest import Open, Record
from faults.harness.launching import Launcher
from faults.harness.service import Service
from serving import until

SOON = {"prompt": "blue cat", "steps": 3, "seed": 11, "sampler": "faulty", "options": {"upscale": False}}
LONG = {**SOON, "steps": 100, "images": 2}


def while_loading(service: Service) -> str:
    """Accepted, and the model is not there yet."""
    job_id = service.submit(SOON, "the key")
    assert service.get("/readyz").status_code == 503, "too late: the model is loaded"
    return job_id


def while_stepping(service: Service) -> str:
    """In the middle of its steps."""
    service.until_ready()
    job_id = service.submit(LONG, "the key")
    service.watch(job_id, "stepped")
    return job_id


def while_finishing(service: Service) -> str:
    """Decoded, not stored: it dies by its own hand, in a post-processor."""
    (service.home / "faulty.json").write_text(json.dumps({"at": "finishing", "do": "kill", "once": True}))
    service.until_ready()
    job_id = service.submit({**SOON, "options": {"upscale": False, "last_words": True}}, "the key")
    assert service.process.wait() == -9
    assert service.stored() == 0
    return job_id


def after_the_picture(service: Service) -> str:
    """Its file is there, and its row is not: whoever would write it is held up."""
    service.until_ready()
    job_id = service.submit({**SOON, "steps": 40}, "the key")
    service.watch(job_id, "stepped")
    with service.held(job_id):
        until(service.stored, "the file of the picture")
        service.process.kill()
    return job_id


POINTS = [while_loading, while_stepping, while_finishing, after_the_picture]


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.__name__)
def test_killed(open_service: Open, database: str, record: Record, point: Callable[[Service], str]) -> None:
    service = open_service()
    service.start()
    job_id = point(service)
    service.kill()
    (row,) = service.jobs()
    assert (row["id"], row["finished"]) == (job_id, None)
    begun = time.monotonic()
    service.start()
    wish = json.loads(row["request"]) if isinstance(row["request"], str) else row["request"]
    asked = {name: wish[name] for name in ("prompt", "steps", "seed", "sampler", "images", "options")}
    assert service.submit(asked, "the key") == job_id, "a client that repeats itself"
    seconds = _until_it_runs_again(service, row) - begun
    service.until_over(job_id)
    lost, doubled = _made_as_if_nothing_had_been(service, job_id, asked)
    record(f"kill -9 {point.__name__.replace('_', ' ')}", jobs=1, lost=lost, doubled=doubled, recovery=[seconds])


def test_killed_and_begun_as_an_operator_does(open_service: Open, cold: Launcher, record: Record) -> None:
    service = open_service(by=cold)
    service.start()
    job_id = while_stepping(service)
    service.kill()
    (row,) = service.jobs()
    begun = time.monotonic()
    service.start(wait=False)
    seconds = _until_it_runs_again(service, row) - begun
    service.until_over(job_id)
    lost, doubled = _made_as_if_nothing_had_been(service, job_id, LONG)
    record("kill -9 while stepping, with all imports", jobs=1, lost=lost, doubled=doubled, recovery=[seconds])


def _until_it_runs_again(service: Service, before: dict[str, Any]) -> float:
    """When it does: it was claimed anew, by an engine that is ready."""
    until(lambda: service.jobs(before["id"])[0]["epoch"] > before["epoch"], "the job to run again")
    return time.monotonic()


def _made_as_if_nothing_had_been(service: Service, job_id: str, asked: dict[str, Any]) -> tuple[int, int]:
    """Whether it is lost, or there twice: beside the same job in peace."""
    (row,) = service.jobs()
    made = service.pictures(job_id)
    service.until_ready()
    again = service.submit(asked)
    service.until_over(again)
    lost = row["status"] != "finished" or made != service.pictures(again)
    recorded = service.log.read_text("utf-8").count(f"job {job_id} finished")
    return int(lost), int(recorded > 1 or len(made) > asked.get("images", 1))
