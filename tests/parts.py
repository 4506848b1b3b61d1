"""The parts of the service as processes of their own: a page, and workers."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import text

from calotype.job import JobStatus
from calotype.ledger import Ledger
from serving import Served, start, until


class Parts:
    """A page and a worker on one home."""

    def __init__(self, folder: Path, url: str, **settings: str) -> None:
        self.folder, self.home, self.url = folder, folder / "home", url
        common = {"CALOTYPE_DATABASE_URL": url, "CALOTYPE_THREADS": "1", "CALOTYPE_DRAIN_SECONDS": "1"}
        self.settings = {**common, **settings}
        self.page = Served(self.home, "--only", "page", **self.settings)
        self.workers: list[subprocess.Popen[bytes]] = []
        self.ledger = Ledger(url)

    def work(self) -> subprocess.Popen[bytes]:
        """One more worker."""
        log = self.folder / f"worker{len(self.workers)}.log"
        process = start("serve", "--only", "worker", home=self.home, cwd=self.folder, log=log, **self.settings)
        self.workers.append(process)
        until(lambda: process.poll() is not None or "is loaded" in log.read_text(), "the worker")
        assert process.poll() is None, log.read_text()
        return process

    def submit(self, **fields: Any) -> str:
        with self.page.client(token=self.page.token) as client:
            answer = client.post("/v1/jobs", json={"prompt": "blue cat", "seed": 1, **fields})
            assert answer.status_code == 201, answer.text
            return str(answer.json()["job_id"])

    def long(self) -> str:
        """A job that takes a while, once it runs."""
        job_id = self.submit(steps=100, images=4)
        until(lambda: self.ledger.steps.standing([job_id])[job_id].step, "a running job")
        return job_id

    def status(self, job_id: str) -> JobStatus:
        job = self.ledger.job(job_id)
        assert job is not None
        return job.status

    def worker_of(self, job_id: str) -> subprocess.Popen[bytes] | None:
        query = text("SELECT worker FROM jobs WHERE id = :id")
        name = self.ledger._database.read(lambda c: c.scalar(query, {"id": job_id})) or ""
        return next((each for each in self.workers if f":{each.pid}:" in name), None)

    def client(self) -> httpx.Client:
        return self.page.client(token=self.page.token)

    def close(self) -> None:
        for process in (*self.workers, self.page.process):
            process.kill()
            process.wait()
        self.ledger.close()
