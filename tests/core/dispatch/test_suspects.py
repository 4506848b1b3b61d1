"""A job that may be what kills the service runs alone in its last attempt, and the queue goes on behind it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from calotype.bootstrap import catalog_for, open_service
from calotype.config import Settings
from calotype.events import Finished, Started, Stepped
from calotype.home import Home
from calotype.job import JobStatus
from calotype.ledger import open_ledger
from calotype.person import Person
from calotype.request import Request
from calotype.studio import Studio

ANN, BEN, CAT = (Person(f"test:{name}") for name in ("ann", "ben", "cat"))


def _after_unclean_ends(tmp_path: Path, people: list[Person], ends: int) -> list[str]:
    """Jobs that were all running in as many unclean ends."""
    home = Home(tmp_path)
    home.enter()
    ledger = open_ledger(home.database_url, home.backups)
    request = {"prompt": "cat", "steps": 6, "seed": 1, "options": {"upscale": False}}
    resolved = catalog_for(Settings.load(home=tmp_path)).resolve(Request.parse(request))
    jobs = [ledger.submit(person, resolved, cost=1.0).id for person in people]
    for _ in range(ends):
        assert sorted(job.id for job in ledger.claim(len(jobs))) == sorted(jobs)
        assert len(ledger.recover()[0]) == len(jobs)
    ledger.close()
    return jobs


def _spans(tmp_path: Path, jobs: list[str], late: Person | None = None) -> dict[str, tuple[float, float]]:
    """When each was started and ended, all of them being finished."""
    settings = Settings.load(home=tmp_path, threads=1)
    spans: dict[str, tuple[float, float]] = {}

    async def follow(studio: Studio, job_id: str) -> None:
        begun = None
        loop = asyncio.get_running_loop()
        async for event in studio.watch(job_id):
            if begun is None and isinstance(event, Started | Stepped):
                begun = loop.time()
            if isinstance(event, Finished):
                assert begun is not None
                spans[job_id] = (begun, loop.time())

    async def scenario() -> None:
        home = Home(tmp_path)
        assert home.acquire()
        async with open_service(settings, home, catalog_for(settings)) as studio:
            watched = list(jobs)
            if late is not None:
                request = Request.parse({"prompt": "owl", "steps": 6, "options": {"upscale": False}})
                watched.append((await studio.submit(request, late)).id)
            await asyncio.gather(*(follow(studio, job_id) for job_id in watched))
            for job_id in watched:
                assert (await studio.job(job_id)).status is JobStatus.FINISHED
        home.release()

    asyncio.run(asyncio.wait_for(scenario(), 90))
    return spans


def _share(spans: dict[str, tuple[float, float]]) -> int:
    """Pairs that ran at the same time."""
    inorder = sorted(spans.values())
    return sum(later[0] < earlier[1] for number, earlier in enumerate(inorder) for later in inorder[number + 1 :])


def test_each_runs_alone(tmp_path: Path) -> None:
    jobs = _after_unclean_ends(tmp_path, [ANN, BEN], ends=2)
    spans = _spans(tmp_path, jobs, late=CAT)
    assert len(spans) == 3
    assert _share(spans) == 0


def test_before_that_they_share_calls(tmp_path: Path) -> None:
    jobs = _after_unclean_ends(tmp_path, [ANN, BEN], ends=1)
    assert _share(_spans(tmp_path, jobs)) == 1
