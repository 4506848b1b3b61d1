"""The service under test: its processes, its home, its database, and how they are looked into from outside."""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from faults.harness.launching import Launcher, Running
from serving import PATIENCE, environment, until

HERE = Path(__file__).parent.parent


@dataclass(frozen=True)
class Kind:
    """A kind of process: the words after ``calotype serve`` that make it one."""

    name: str
    words: tuple[str, ...] = ()
    serves: bool = True
    """Whether clients reach it over HTTP."""


ALONE = (Kind("serve"),)
"""One process that is everything."""
SEVERAL = (
    Kind("page", ("--only", "page")),
    Kind("bot", ("--only", "bot"), serves=False),
    Kind("worker", ("--only", "worker"), serves=False),
    Kind("second worker", ("--only", "worker"), serves=False),
)
"""Processes that share a PostgreSQL database."""


class Service:
    """Processes of the given kinds on one home and one database. Each may be killed and begun again."""

    def __init__(
        self, folder: Path, launcher: Launcher, database: str | None, kinds: Sequence[Kind] = ALONE, **settings: str
    ) -> None:
        """``database`` is a PostgreSQL URL; None is a file in the home. ``settings`` are of every process."""
        self.home, self.log, self.kinds = folder / "home", folder / "service.log", tuple(kinds)
        self._launcher, self._folder = launcher, folder
        self.database = database or f"sqlite:///{self.home / 'calotype.db'}"
        chosen = {"CALOTYPE_THREADS": "1", "CALOTYPE_DEVICE": "cpu", "CALOTYPE_PLUGINS": "faulty", **settings}
        if database is not None:
            chosen["CALOTYPE_DATABASE_URL"] = database
        self.env = environment(self.home, **chosen)
        self.processes: dict[str, Running] = {}
        self._engine = create_engine(
            self.database.replace("postgresql://", "postgresql+psycopg://"), poolclass=NullPool, hide_parameters=True
        )

    # processes ------------------------------------------------------------------------------------------------

    def start(self, *kinds: Kind, wait: bool = True) -> None:
        """Begin these kinds, or all of them; with ``wait``, until it answers over HTTP."""
        for kind in kinds or self.kinds:
            (self.home / "server.json").unlink(missing_ok=True) if kind.serves else None
            words = ["serve", "--port", "0", *kind.words]
            self.processes[kind.name] = Running(self._launcher.start(words, self.env, self._folder, self.log))
        if wait:
            self.until_answers()

    @property
    def process(self) -> Running:
        """The first one, of a service that is one process."""
        return self.processes[self.kinds[0].name]

    def kill(self) -> None:
        """kill -9 of every process."""
        for each in self.processes.values():
            each.kill()

    def until_answers(self) -> None:
        """Until clients are answered."""
        until(self._answers, f"an answer; the log ends with:\n{self.tail()}")

    def until_ready(self) -> None:
        """Until pictures are made."""
        until(lambda: self._answers() and self.get("/readyz").status_code == 200, "the model")

    def _answers(self) -> bool:
        for name, each in self.processes.items():
            if (code := each.code) is not None:
                raise AssertionError(f"{name} ended with {code}:\n{self.tail()}")
        try:
            return self.address() is not None and self.get("/healthz").status_code == 200
        except httpx.HTTPError:
            return False

    def tail(self, size: int = 6000) -> str:
        """The end of what all processes said."""
        return self.log.read_text("utf-8", "replace")[-size:] if self.log.exists() else ""

    # clients --------------------------------------------------------------------------------------------------

    def address(self) -> dict[str, str] | None:
        """Where the process that serves HTTP is right now."""
        try:
            found: dict[str, str] = json.loads((self.home / "server.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return found

    def client(self, address: str = "127.0.0.1", timeout: float = PATIENCE) -> httpx.Client:
        """A client whose own address, one of 127.0.0.0/8, is who it is."""
        found = self.address()
        if found is None:
            raise httpx.ConnectError("nobody listens")
        # plain HTTP: certificates are not even read, which takes 20 ms for every client
        transport = httpx.HTTPTransport(local_address=address, verify=False)
        return httpx.Client(base_url=found["url"], transport=transport, timeout=timeout, trust_env=False)

    def get(self, path: str, **more: Any) -> httpx.Response:
        """One answer."""
        with self.client() as client:
            return client.get(path, **more)

    def submit(self, body: dict[str, Any], key: str | None = None, address: str = "127.0.0.1") -> str:
        """Queue a request that is right; the job's id."""
        with self.client(address) as client:
            answer = client.post("/v1/jobs", json=body, headers={"Idempotency-Key": key} if key else {})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["job_id"])

    def watch(self, job_id: str, until_event: str, address: str = "127.0.0.1") -> dict[str, Any]:
        """Listen to a job until an event of that name has come; its data."""
        with self.client(address) as client, client.stream("GET", f"/v1/jobs/{job_id}/events") as events:
            name = ""
            for line in events.iter_lines():
                name = line[7:] if line.startswith("event: ") else name
                if name == until_event and line.startswith("data: "):
                    found: dict[str, Any] = json.loads(line[6:])
                    return found
        raise AssertionError(f"job {job_id} ended without {until_event}: {self.jobs(job_id)}")

    # looking inside -------------------------------------------------------------------------------------------

    def rows(self, sql: str, **values: Any) -> list[dict[str, Any]]:
        """Of a query, from outside the service."""
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(text(sql), values).mappings()]

    def jobs(self, *job_ids: str) -> list[dict[str, Any]]:
        """Rows of jobs, in order of submission; without ids all of them."""
        found = self.rows("SELECT * FROM jobs ORDER BY seq")
        return [row for row in found if not job_ids or row["id"] in job_ids]

    def status(self, job_id: str) -> str:
        """Of one job."""
        (row,) = self.jobs(job_id)
        return str(row["status"])

    def until_over(self, *job_ids: str) -> list[dict[str, Any]]:
        """Until these jobs, or all, are over; their rows. However many there are: one must end in time."""
        left = self._left(job_ids)
        while left:
            before = left
            until(lambda: self._left(job_ids) < before, f"one of {before} jobs to be over")  # noqa: B023 - at once
            left = self._left(job_ids)
        return self.jobs(*job_ids)

    def _left(self, job_ids: Sequence[str]) -> int:
        return sum(row["status"] in ("queued", "running") for row in self.jobs(*job_ids))

    def pictures(self, job_id: str) -> list[str]:
        """The sha256 of each picture of a job, after its file was read and found to be just that."""
        found = self.rows('SELECT sha256 FROM pictures WHERE job_id = :job ORDER BY "index"', job=job_id)
        for row in found:
            data = self.picture(row["sha256"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == row["sha256"], f"{job_id}: a damaged file"
        return [row["sha256"] for row in found]

    def picture(self, sha256: str) -> Path:
        """Where the file of a picture is, or would be."""
        return self.home / "images" / sha256[:2] / f"{sha256}.png"

    def stored(self) -> int:
        """How many picture files there are."""
        return sum(1 for _ in (self.home / "images").glob("??/*.png"))

    @contextmanager
    def held(self, job_id: str) -> Iterator[Connection]:
        """Inside, nobody can record that job's end: another transaction holds the row, or all of SQLite."""
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            if self.database.startswith("sqlite"):
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.exec_driver_sql("BEGIN")
                connection.execute(text("SELECT 1 FROM jobs WHERE id = :job FOR UPDATE"), {"job": job_id})
            try:
                yield connection
            finally:
                connection.exec_driver_sql("ROLLBACK")

    def close(self) -> None:
        """Kill what runs."""
        self.kill()
        self._engine.dispose()


def seed() -> int:
    """``SEED``, or one that the clock chooses and the end of the run tells."""
    if "SEED" not in os.environ:
        os.environ["SEED"] = str(random.SystemRandom().randrange(10**6))
    return int(os.environ["SEED"])
