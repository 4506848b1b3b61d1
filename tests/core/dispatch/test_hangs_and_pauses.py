"""Hangs and pauses through the whole service: ledger, dispatcher, engine, watchers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from calotype.bootstrap import catalog_for, open_service
from calotype.config import Settings
from calotype.dispatch.pausing import EACH, Pauses
from calotype.errors import BadRequest, UnknownJob
from calotype.events import Event, Finished, Paused, Queued, Started, Stepped
from calotype.home import Home
from calotype.job import Job, JobStatus, as_json
from calotype.person import OPERATOR, Person
from calotype.request import Request
from calotype.studio import Studio
from strangers import write_plugin

pytestmark = pytest.mark.faults

ANNA, BERT = Person("test:anna", "Anna"), Person("test:bert", "Bert")
HANGS = """
import calotype

class Hangs(calotype.Sampler):
    name, label = "hangs", "Hangs"
    def calls(self, steps):
        return steps
    def run(self, x, sigmas, noise, params):
        yield calotype.Query(x, sigmas[0])
        while True:
            pass

class Stuck(calotype.PostProcessor):
    name, label, order = "stuck", "Stuck", 90
    def process(self, image, info, params):
        while True:
            pass

@calotype.hookimpl
def calotype_samplers():
    return [Hangs()]

@calotype.hookimpl
def calotype_postprocessors():
    return [Stuck()]
"""


@asynccontextmanager
async def service(folder: Path, **settings: Any) -> AsyncIterator[Studio]:
    chosen = Settings.load(**{"home": folder, "threads": 1, "drain_seconds": 0, **settings})
    home = Home(folder)
    assert home.acquire()
    try:
        async with open_service(chosen, home, catalog_for(chosen)) as studio:
            yield studio
    finally:
        home.release()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 180))  # type: ignore[arg-type]


def wish(**fields: Any) -> Request:
    return Request.parse({"prompt": "cat", "steps": 3, "seed": 1, **fields})


async def until(studio: Studio, job: Job, kind: type[Event]) -> None:
    async for event in studio.watch(job.id):
        if isinstance(event, kind):
            return


async def sha256s(studio: Studio, job: Job) -> list[str]:
    done = await studio.wait(job.id)
    assert done.status is JobStatus.FINISHED, done.error
    return [picture.sha256 for picture in done.pictures]


def test_a_job_that_hangs_is_a_dead_letter_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_plugin(tmp_path / "site", "a_hanging_plugin", HANGS)
    monkeypatch.syspath_prepend(tmp_path / "site")
    settings = {"plugins": ("a_hanging_plugin",), "plugin_seconds": 1.0, "postprocess_seconds": 2.0}

    async def scenario() -> None:
        async with service(tmp_path / "home", **settings) as studio:
            alone = await sha256s(studio, await studio.submit(wish(steps=30), ANNA))
            with caplog.at_level(logging.ERROR):
                culprit = await studio.submit(wish(sampler="hangs"), BERT)
                jobs = [await studio.submit(wish(steps=30), ANNA) for _ in range(3)]
                failed = await studio.wait(culprit.id)
                assert [await sha256s(studio, job) for job in jobs] == [alone] * 3
            assert (failed.status, failed.attempts) == (JobStatus.FAILED, 1)
            assert "sampler hangs: it did not come back within 1 s" in str(failed.error)
            assert any(culprit.id in r.getMessage() and "a_hanging_plugin.py" in r.getMessage() for r in caplog.records)
            skipped = await studio.submit(wish(steps=30, options={"stuck": {}}), BERT)
            assert await sha256s(studio, skipped) == alone
            (picture,) = (await studio.job(skipped.id)).pictures
            assert picture.notes == ("Stuck was skipped: it did not come back within 2 s",)
        async with service(tmp_path / "home") as studio:
            await studio.wait((await studio.submit(wish(), ANNA)).id)
            assert (await studio.job(culprit.id)).attempts == 1

    run(scenario)


def test_a_paused_job_frees_its_slot_and_comes_out_the_same(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with service(tmp_path, slots=1, residents=2) as studio:
            request = wish(steps=80, sampler="euler_ancestral")
            alone = await sha256s(studio, await studio.submit(request, ANNA))
            job = await studio.submit(request, ANNA)
            seen: list[Event] = []

            async def watch() -> None:
                seen.extend([event async for event in studio.watch(job.id)])

            watching = asyncio.create_task(watch())
            await until(studio, job, Stepped)
            for nobody in (lambda: studio.pause(job.id, BERT), lambda: studio.resume(job.id, BERT)):
                with pytest.raises(UnknownJob):
                    await nobody()
            paused = await studio.pause(job.id, ANNA)
            assert (paused.status, paused.paused) == (JobStatus.RUNNING, True)
            assert as_json(paused)["paused"] is True
            assert (await studio.pause(job.id, OPERATOR)).paused
            await until(studio, job, Paused)
            await studio.wait((await studio.submit(wish(), BERT)).id)  # there is one slot only
            assert (await studio.job(job.id, ANNA)).paused
            assert [each.paused for each in await studio.history(ANNA)] == [True, False]
            assert not (await studio.resume(job.id, OPERATOR)).paused
            assert await sha256s(studio, job) == alone
            await watching
            kinds = [type(event) for event in seen if not isinstance(event, Queued | Stepped)]
            assert kinds[-3:] == [Paused, Started, Finished]
            stood = seen.index(Paused(job.id))
            assert isinstance(seen[stood + 1], Started), "no step is told while it stands"
            for over in (await studio.pause(job.id, ANNA), await studio.resume(job.id, ANNA)):
                assert (over.status, over.paused) == (JobStatus.FINISHED, False)

    run(scenario)


def test_what_cannot_be_paused(tmp_path: Path) -> None:
    async def scenario() -> None:
        # each picture has a slot, so all four begin at once, and none ends before we are done
        async with service(tmp_path, slots=16, residents=4) as studio:
            jobs = [await studio.submit(wish(steps=150, images=4), ANNA) for _ in range(4)]
            for job in jobs:
                await until(studio, job, Stepped)
            queued = await studio.submit(wish(), ANNA)
            with pytest.raises(BadRequest, match="job: it has not begun yet"):
                await studio.pause(queued.id, ANNA)
            for job in jobs[:EACH]:
                await studio.pause(job.id, ANNA)
            with pytest.raises(BadRequest, match="job: 2 jobs of this person are paused"):
                await studio.pause(jobs[2].id, ANNA)
            await studio.cancel(jobs[0].id, ANNA)  # makes room
            await studio.pause(jobs[2].id, ANNA)

    run(scenario)


def test_paused_jobs_never_take_all_places() -> None:
    from types import SimpleNamespace

    here: Any = {str(n): SimpleNamespace(person=f"person {n}") for n in range(6)}
    pauses = Pauses(6)
    for n in range(3):
        assert pauses.add(str(n), here)
    assert not pauses.add("0", here)
    with pytest.raises(BadRequest, match="job: 3 jobs are paused here"):
        pauses.add("3", here)
    assert pauses.running(here) == 3
    with pytest.raises(BadRequest, match="job: none can be paused"):
        Pauses(1).add("0", here)


def test_a_stop_does_not_wait_for_a_paused_job_and_the_next_start_makes_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with service(tmp_path, drain_seconds=60) as studio:
            request = wish(steps=60)
            alone = await sha256s(studio, await studio.submit(request, ANNA))
            job = await studio.submit(request, ANNA)
            await until(studio, job, Stepped)
            await studio.pause(job.id, ANNA)
            stopped = time.monotonic()
        assert time.monotonic() - stopped < 30
        async with service(tmp_path) as studio:
            assert not (await studio.job(job.id)).paused
            assert await sha256s(studio, job) == alone
            assert (await studio.job(job.id)).attempts == 1

    run(scenario)
