"""No job is begun while the disk is nearly full; what waits begins by itself."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from calotype import disk
from calotype.bootstrap import catalog_for, open_service
from calotype.config import Settings
from calotype.home import Home
from calotype.job import JobStatus
from calotype.person import Person
from calotype.request import Request

ANN = Person("test:ann")


def test_jobs_wait_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    free = SimpleNamespace(free=10**8)
    monkeypatch.setattr("calotype.disk.shutil.disk_usage", lambda folder: free)
    settings = Settings.load(home=tmp_path, threads=1, drain_seconds=0)

    async def scenario() -> None:
        home = Home(tmp_path)
        assert home.acquire()
        async with open_service(settings, home, catalog_for(settings)) as studio:
            job = await studio.submit(Request.parse({"prompt": "cat", "steps": 1, "seed": 1}), ANN)
            while not studio.ready:  # noqa: ASYNC110 - a state to look at
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.5)
            assert studio.held == disk.SHORT
            assert (await studio.job(job.id)).status is JobStatus.QUEUED
            assert caplog.text.count("no job is begun until there is room") == 1
            free.free = 10**10
            assert (await studio.wait(job.id)).status is JobStatus.FINISHED
            assert studio.held is None
        home.release()

    asyncio.run(asyncio.wait_for(scenario(), 90))
