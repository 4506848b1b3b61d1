"""A page without an engine and workers without a page: what one does is seen by the other, and a worker may die."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from calotype.job import JobStatus
from databases import PostgresServer
from parts import Parts
from serving import calotype, server_sent, until

pytestmark = pytest.mark.faults


@pytest.fixture(scope="module")
def parts(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    with closing(Parts(tmp_path_factory.mktemp("parts"), postgres.empty())) as parts:
        with parts.client() as client:
            answer = client.get("/readyz")
            until(lambda: client.get("/readyz").json().get("state") == "held", "the page to know that nobody paints")
            assert answer.status_code == 503
        parts.work()
        parts.page.wait_ready()
        yield parts


def test_a_picture_is_watched_from_a_process_without_an_engine(parts: Parts) -> None:
    job_id = parts.submit(steps=60)
    with parts.client() as client:
        with client.stream("GET", f"/v1/jobs/{job_id}/events?previews=1") as answer:
            events = server_sent(list(answer.iter_lines()))
        names = [name for name, _ in events]
        assert "started" in names
        assert names[-1] == "finished"
        steps = [data["step"] for name, data in events if name == "stepped"]
        assert steps == sorted(steps)
        assert len(steps) >= 2
        assert any("preview" in data for name, data in events if name == "stepped")
        picture = client.get(f"/v1/jobs/{job_id}/pictures/0")
        assert picture.content.startswith(b"\x89PNG")
    assert parts.ledger.steps.standing([job_id])[job_id].step is None  # nothing is left behind
    assert "libtorch" not in Path(f"/proc/{parts.page.process.pid}/maps").read_text()
    assert "libtorch" in Path(f"/proc/{parts.workers[0].pid}/maps").read_text()


def test_pause_resume_and_cancel_reach_the_worker(parts: Parts) -> None:
    job_id = parts.long()
    with parts.client() as client:
        assert client.post(f"/v1/jobs/{job_id}/pause").json()["paused"] is True
        stood = until(lambda: parts.ledger.steps.standing([job_id])[job_id].step, "its step")
        others = [parts.long() for _ in range(2)]
        assert client.post(f"/v1/jobs/{others[0]}/pause").json()["paused"] is True
        refused = client.post(f"/v1/jobs/{others[1]}/pause")
        assert refused.status_code == 400
        assert "2 jobs of this person are paused" in refused.text
        assert client.get(f"/v1/jobs/{job_id}").json()["paused"] is True
        assert client.post(f"/v1/jobs/{job_id}/resume").json()["paused"] is False
        assert stood.paused
        with client.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
            client.post(f"/v1/jobs/{job_id}/cancel")
            assert server_sent(list(answer.iter_lines()))[-1][0] == "cancelled"
        for other in others:
            client.post(f"/v1/jobs/{other}/cancel")
    begun = time.monotonic()
    short = parts.submit(steps=2)
    until(lambda: parts.status(short) is JobStatus.FINISHED, "the worker to be free")
    assert time.monotonic() - begun < 20


def test_the_job_of_a_killed_worker_is_made_by_another(parts: Parts) -> None:
    parts.work()
    job_id = parts.long()
    victim = parts.worker_of(job_id)
    assert victim is not None
    victim.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    until(lambda: parts.worker_of(job_id) not in (None, victim), "another worker")
    assert time.monotonic() - killed < 15  # far from its lease of 30 s
    victim.wait()
    with parts.client() as client, client.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
        assert server_sent(list(answer.iter_lines()))[-1][0] == "finished"
    job = parts.ledger.job(job_id)
    assert job is not None
    assert (job.attempts, job.epoch, len(job.pictures)) == (2, 2, 4)


def test_a_worker_that_is_told_to_stop_gives_its_jobs_back_at_once(parts: Parts) -> None:
    job_id = parts.long()
    worker = parts.worker_of(job_id)
    assert worker is not None
    begun = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    assert time.monotonic() - begun < 12  # 1 s to drain, the rest to end threads
    job = parts.ledger.job(job_id)
    assert job is not None
    assert (job.status, job.attempts) == (JobStatus.QUEUED, 0)
    with parts.client() as client:
        until(lambda: client.get("/readyz").json().get("state") == "held", "the page to know that nobody paints")
        assert "No process that makes pictures" in client.get("/readyz").json()["reason"]
        assert client.post(f"/v1/jobs/{job_id}/cancel").json()["status"] == "cancelled"


@pytest.mark.parametrize("part", ["page", "bot", "worker"])
def test_parts_need_postgresql(part: str, tmp_path: Path) -> None:
    ended = calotype("serve", "--only", part, home=tmp_path / "home", cwd=tmp_path)
    assert ended.returncode == 2
    assert "only: several processes need a PostgreSQL database" in ended.stderr
    assert not (tmp_path / "home").exists()


def test_a_part_that_there_is_not(tmp_path: Path) -> None:
    ended = calotype("serve", "--only", "pages", home=tmp_path / "home", cwd=tmp_path)
    assert ended.returncode == 2
    assert "'pages' is not one of bot, page, worker" in ended.stderr
