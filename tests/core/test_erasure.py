"""Erasing while the service runs: nobody else waits for it, and it waits for nobody when the service stops."""

from __future__ import annotations

import asyncio
import io
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from calotype.bootstrap import catalog_for, open_service
from calotype.config import Settings
from calotype.erasure import PATIENCE, Erasure
from calotype.errors import BadRequest, Busy, NotAllowed
from calotype.events import Cancelled, Stepped
from calotype.home import Home
from calotype.job import JobStatus
from calotype.person import OPERATOR, Person
from calotype.request import Request
from calotype.studio import Studio

ANNA, BERT, CARL = Person("test:anna"), Person("test:bert"), Person("test:carl")
WISH = Request(prompt="cat", steps=1, seed=1, options={"upscale": False})


@asynccontextmanager
async def service(folder: Path) -> AsyncIterator[Studio]:
    settings = Settings.load(home=folder, threads=1, drain_seconds=0)
    home = Home(folder)
    assert home.acquire()
    try:
        async with open_service(settings, home, catalog_for(settings)) as studio:
            yield studio
    finally:
        home.release()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 120))  # type: ignore[arg-type]


async def until(condition: Callable[[], Any]) -> None:
    while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - what is waited for tells nobody
        await asyncio.sleep(0.02)


def png(grey: int) -> bytes:
    data = io.BytesIO()
    Image.effect_noise((64, 64), grey).save(data, "PNG")
    return data.getvalue()


async def begun(studio: Studio, person: Person) -> asyncio.Task[Erasure]:
    """An erasure whose rows are gone, and that waits for a file which was put a moment ago."""
    task = asyncio.create_task(studio.archive.erase(person))
    await until(lambda: task.done() or studio._ledger.uploads(person.key) == 0)
    assert not task.done()
    return task


def grow_old(studio: Studio, *sha256s: str) -> None:
    for sha256 in sha256s:
        os.utime(studio.picture_path(sha256), (time.time() - 3600,) * 2)


def test_others_go_on_while_files_are_waited_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with service(tmp_path) as studio:
            files = [await studio.take_in(png(30 + k), person) for k, person in enumerate((ANNA, BERT, CARL))]
            await until(lambda: studio.ready)  # a thread loads the model until then
            asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
            erasing = [await begun(studio, person) for person in (ANNA, BERT)]
            job = await studio.wait((await studio.submit(WISH, CARL)).id)
            assert job.status is JobStatus.FINISHED
            assert not any(task.done() for task in erasing)

            before = await asyncio.to_thread(studio._ledger.archive.known, CARL.key)
            with pytest.raises(Busy, match="2 are under way"):
                await studio.archive.erase(CARL)
            for again in (studio.archive.erase(ANNA), studio.archive.erase(OPERATOR, ANNA.key)):
                with pytest.raises(Busy, match="under way already"):
                    await again
            assert await asyncio.to_thread(studio._ledger.archive.known, CARL.key) == before
            assert (await studio.job(job.id, CARL)).pictures == job.pictures

            grow_old(studio, *files[:2])
            for task, person in zip(erasing, (ANNA, BERT), strict=True):
                report = await task
                assert (report.person, report.rows["uploads"], report.files) == (person.key, 1, 1)
                assert report.complete
                assert report.waiting == sum(report.left.values()) - report.left["audit"] == 0
            grow_old(studio, files[2], job.pictures[0].sha256)
            assert (await studio.archive.erase(CARL)).files == 2, "there is room again"

    run(scenario)


def test_a_stop_ends_the_waiting_and_the_report_says_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with service(tmp_path) as studio:
            sha256 = await studio.take_in(png(30), ANNA)
            erasing = await begun(studio, ANNA)
            before = time.monotonic()
            await studio.drain(0)
            report = await erasing
            assert time.monotonic() - before < PATIENCE / 2
            assert (report.files, report.waiting, report.left["files"]) == (0, 1, 1)
            assert not report.complete
            assert report.as_json()["kept"]["waiting_files"] == 1
            # what was left is what a second try, or the daily sweep, takes
            assert await asyncio.to_thread(studio._ledger.unreferenced, [sha256]) == {sha256}

    run(scenario)


def test_what_runs_and_what_waits_is_called_off(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with service(tmp_path) as studio:
            long = WISH.model_copy(update={"steps": 150, "images": 8})
            jobs = [await studio.submit(long, ANNA) for _ in range(12)]
            other = await studio.submit(WISH, BERT)
            erasing, event = None, None
            async for event in studio.watch(jobs[0].id):
                if isinstance(event, Stepped) and erasing is None:
                    erasing = asyncio.create_task(studio.archive.erase(ANNA))
            assert isinstance(event, Cancelled)
            assert erasing is not None
            report = await erasing
            assert report.rows["jobs"] == len(jobs)
            assert report.complete
            assert await studio.history(ANNA) == []
            assert (await studio.wait(other.id)).status is JobStatus.FINISHED

    run(scenario)


def test_who_may_erase_whom(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with service(tmp_path) as studio:
            job = await studio.submit(WISH, ANNA)
            with pytest.raises(NotAllowed, match="address only"):
                await studio.archive.erase(Person("api:0", shared=True))
            with pytest.raises(NotAllowed, match="only the operator"):
                await studio.archive.erase(BERT, ANNA.key)
            for _ in range(3):  # a mistake takes nobody's place
                with pytest.raises(BadRequest, match="nobody is known"):
                    await studio.archive.erase(OPERATOR, "test:ana")
            assert await studio.job(job.id, ANNA)
            await studio.archive.erase(OPERATOR, ANNA.key)
            assert await studio.history(ANNA) == []

    run(scenario)
