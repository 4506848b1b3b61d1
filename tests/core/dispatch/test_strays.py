"""A job that was claimed and did not arrive at the engine runs all the same, and the event loop waits for no file."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from calotype.bootstrap import catalog_for, open_service
from calotype.config import Settings
from calotype.errors import DatabaseError
from calotype.home import Home
from calotype.images.store import ImageStore
from calotype.job import Job, JobStatus
from calotype.ledger import Ledger
from calotype.ledger.tables import jobs
from calotype.person import Person
from calotype.request import Request
from databases import PostgresServer, postgres_server

ANN = Person("test:ann")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    given: dict[str, Any] = {"home": tmp_path, "threads": 1, "drain_seconds": 0}
    if request.param == "PostgreSQL":
        given["database_url"] = request.getfixturevalue("server").ready()
    return Settings.load(**given)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calotype.dispatch.dispatcher._NET", 0.2)


async def _make(settings: Settings, *, only_own: bool = False, **fields: Any) -> Job:
    """What became of a job."""
    home = Home(settings.home)
    home.enter() if settings.database_url else home.acquire()
    try:
        async with open_service(settings, home, catalog_for(settings), only_own=only_own) as studio:
            wish = {"prompt": "cat", "steps": 1, "seed": 1, "options": {"upscale": False}, **fields}
            job = await studio.submit(Request.parse(wish), ANN)
            return await asyncio.wait_for(studio.wait(job.id), 60)
    finally:
        home.release()


def test_a_claim_whose_answer_was_lost(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    claim, lost = Ledger.claim, []

    def lose_once(ledger: Ledger, *args: Any, **options: Any) -> list[Job]:
        claimed = claim(ledger, *args, **options)
        if claimed and not lost:
            lost.append(claimed[0].id)
            raise DatabaseError("the connection broke after the claim was written down")
        return claimed

    monkeypatch.setattr(Ledger, "claim", lose_once)
    job = asyncio.run(_make(settings))
    assert (job.status, lost) == (JobStatus.FINISHED, [job.id])
    assert (job.attempts, job.epoch) == (1, 2)


def test_a_job_that_cannot_be_run_while_the_database_is_away(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail, refused = Ledger.fail, []

    def refuse_once(ledger: Ledger, job_id: str, *args: Any) -> bool:
        if not refused:
            refused.append(job_id)
            raise DatabaseError("away")
        return fail(ledger, job_id, *args)

    monkeypatch.setattr(Ledger, "fail", refuse_once)
    submit = Ledger.submit

    def of_a_plugin_that_is_no_more(ledger: Ledger, *args: Any, **options: Any) -> Job:
        job = submit(ledger, *args, **options)
        gone = {**job.request.model_dump(mode="json"), "sampler": "gone"}
        ledger._database.write(lambda it: it.execute(update(jobs).where(jobs.c.id == job.id).values(request=gone)))
        return job

    monkeypatch.setattr(Ledger, "submit", of_a_plugin_that_is_no_more)
    job = asyncio.run(_make(settings))
    assert (job.status, refused) == (JobStatus.FAILED, [job.id])
    assert "it cannot be run any more: sampler: 'gone' is not one of" in str(job.error)


def test_an_engine_that_refuses_a_job_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from calotype.engine.host import InProcessHost

    join, refused = InProcessHost.join, []

    def refuse_once(host: InProcessHost, assignment: Any) -> None:
        if not refused:
            refused.append(assignment.job_id)
            raise RuntimeError("no")
        join(host, assignment)

    monkeypatch.setattr(InProcessHost, "join", refuse_once)
    job = asyncio.run(_make(settings))
    assert (job.status, job.attempts, refused) == (JobStatus.FINISHED, 1, [job.id])


def test_files_are_looked_at_beside_the_event_loop(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = asyncio.run(_make(settings))
    has, threads = ImageStore.has, set()

    def look(store: ImageStore, sha256: str) -> bool:
        threads.add(threading.get_ident())
        return has(store, sha256)

    monkeypatch.setattr(ImageStore, "has", look)
    job = asyncio.run(_make(settings, init_image=first.pictures[0].sha256, strength=0.5, steps=2))
    assert job.status is JobStatus.FINISHED, job.error
    assert threads
    assert threading.get_ident() not in threads


def test_a_command_that_makes_one_picture_never_leads(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from calotype import leader

    begun: list[str] = []
    monkeypatch.setattr(leader.Leader, "_begin", lambda self: begun.append("leads"))
    job = asyncio.run(_make(settings, only_own=True))
    assert (job.status, begun) == (JobStatus.FINISHED, [])
    asyncio.run(_make(settings))
    assert set(begun) == {"leads"}
