"""Workers as processes of their own: one is killed, or freezes for longer than its lease, while it has jobs."""

from __future__ import annotations

import signal
import time

import pytest

from faults.conftest import Open, Record
from faults.harness.service import SEVERAL, Service
from serving import until

WISH = {"prompt": "blue cat", "steps": 100, "images": 2, "options": {"upscale": False}}
LEASE = 3

pytestmark = pytest.mark.parametrize("database", ["PostgreSQL"], indirect=True)


def _under_way(service: Service, number: int = 3) -> tuple[list[str], str]:
    """Jobs that one and the same worker has, and its kind."""
    service.start(SEVERAL[0])
    first, second = SEVERAL[2:]
    service.start(first)
    service.until_ready()
    jobs = [service.submit({**WISH, "seed": seed}) for seed in range(number)]
    until(lambda: all(service.status(job) == "running" for job in jobs), "all jobs to run")
    service.start(second)
    return jobs, first.name


def _check(service: Service, jobs: list[str]) -> tuple[int, int]:
    """Lost and doubled ones, beside the same in peace."""
    service.until_over()
    made = {job: service.pictures(job) for job in jobs}
    again = [service.submit({**WISH, "seed": seed}) for seed in range(len(jobs))]
    service.until_over()
    log = service.log.read_text("utf-8")
    lost = sum(made[job] != service.pictures(quiet) for job, quiet in zip(jobs, again, strict=True))
    return lost, sum(log.count(f"job {job} finished") > 1 for job in jobs)


def test_a_killed_workers_jobs_go_to_another(open_service: Open, record: Record) -> None:
    service = open_service(kinds=SEVERAL)
    jobs, victim = _under_way(service)
    service.processes.pop(victim).kill()
    killed = time.monotonic()
    until(lambda: all(row["epoch"] > 1 for row in service.jobs(*jobs)), "another worker to have the jobs")
    seconds = time.monotonic() - killed
    lost, doubled = _check(service, jobs)
    note = "until another worker has all of them; lease 30 s"
    record("kill -9 of a worker", jobs=len(jobs), lost=lost, doubled=doubled, recovery=[seconds], note=note)


def test_a_worker_that_freezes_is_fenced(open_service: Open, record: Record) -> None:
    service = open_service(kinds=SEVERAL, CALOTYPE_LEASE_SECONDS=str(LEASE))
    jobs, victim = _under_way(service)
    service.processes[victim].signal(signal.SIGSTOP)
    frozen = time.monotonic()
    until(lambda: all(row["epoch"] > 1 for row in service.jobs(*jobs)), "another worker to have the jobs")
    seconds = time.monotonic() - frozen
    service.processes[victim].signal(signal.SIGCONT)
    lost, doubled = _check(service, jobs)
    note = f"until another worker has all of them; lease set to {LEASE} s"
    record("a worker freezes, and goes on", jobs=len(jobs), lost=lost, doubled=doubled, recovery=[seconds], note=note)
