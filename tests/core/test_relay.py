"""Two processes' buses over one database: what happens at one is seen at the other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from calotype import relay as module
from calotype import telling
from calotype.bus import Bus, Watcher
from calotype.dispatch.positions import Positions
from calotype.dispatch.shared import NO_WORKER, SharedWork
from calotype.errors import BadRequest
from calotype.events import Cancelled, Event, Failed, Finished, Paused, Preview, Queued, Started, Stepped
from calotype.job import Job
from calotype.ledger import Ledger
from calotype.ledger.channel import Channel
from calotype.ledger.leases import Holder
from calotype.ledger.session import Kind
from calotype.person import Person
from calotype.relay import Relay
from calotype.request import Request
from databases import PostgresServer, postgres_server

ANN = Person("web:ann")


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


class Engine:
    """Stands for a dispatcher: holds the claims, pauses what it is told to."""

    def __init__(self, bus: Bus) -> None:
        self.bus, self.ready = bus, True
        self.claims: dict[str, int] = {}
        self.lost: list[tuple[str, int]] = []
        self.woken = threading.Event()
        self.refuses: str | None = None

    def epochs(self) -> dict[str, int]:
        return dict(self.claims)

    def lose(self, job_id: str, epoch: int) -> None:
        self.lost.append((job_id, epoch))
        self.claims.pop(job_id, None)

    def wake(self) -> None:
        self.woken.set()

    def pause_here(self, job_id: str) -> None:
        if self.refuses is not None:
            raise BadRequest.of("job", self.refuses)
        self.bus.publish(Paused(job_id))

    def resume_here(self, job_id: str) -> None:
        self.bus.publish(Started(job_id))


class Process:
    """A bus, a ledger and a relay, as one process has them."""

    def __init__(self, url: str, name: str, engine: bool = False, lease: float = 30.0) -> None:
        self.ledger, self.bus = Ledger(url), Bus()
        self.relay = Relay(self.ledger, self.bus, self.ledger.session(), name, lease)
        self.engine = Engine(self.bus) if engine else None
        self.relay.local = self.engine
        if engine:
            self.ledger.leases.holder = Holder(name, lease)
        self.relay.start()

    def claim(self) -> Job:
        assert self.engine is not None
        (job,) = self.ledger.claim()
        self.engine.claims[job.id] = job.epoch
        return job

    def close(self) -> None:
        self.relay.stop()
        self.ledger.close()


@asynccontextmanager
async def processes(postgres: PostgresServer, **more: Any) -> AsyncIterator[tuple[Process, Process]]:
    """A page and a worker."""
    url = await asyncio.to_thread(postgres.ready)
    page, worker = Process(url, "page"), Process(url, "worker", engine=True, **more)
    try:
        yield page, worker
    finally:
        for process in (page, worker):
            await asyncio.to_thread(process.close)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 60))  # type: ignore[arg-type]


async def until(condition: Callable[[], Any], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - threads of the relay change it
            await asyncio.sleep(0.02)


async def next_of(watcher: Watcher, kind: type[Event]) -> Any:
    """The next event of that kind."""
    async with asyncio.timeout(10):
        while not isinstance(event := await watcher.next(), kind):
            pass
        return event


def preview(shade: int) -> Preview:
    return Preview(np.full((3, 2, 3), shade, np.uint8))


def submit(process: Process) -> Job:
    return process.ledger.submit(ANN, Request(prompt="cat"), cost=1.0)


def test_a_job_from_its_start_to_its_end(postgres: PostgresServer) -> None:
    async def scenario() -> None:
        async with processes(postgres) as (page, worker):
            job = submit(page)
            watcher = page.bus.watch(job.id)
            worker.claim()
            worker.bus.publish(Started(job.id, ("a note",)))
            while (await next_of(watcher, Started)).notes != ("a note",):
                pass  # that it was claimed may be seen before it is said
            await until(lambda: worker.bus.is_watched(job.id))
            assert page.bus.started(job.id).notes == ("a note",)  # for those who come later
            worker.bus.publish(Stepped(job.id, 1, 20, preview(7)))
            step = await next_of(watcher, Stepped)
            assert (step.step, step.steps) == (1, 20)
            assert np.array_equal(step.preview.rgb, preview(7).rgb)
            worker.ledger.finish(job.id, 1, [], {})
            worker.bus.publish(Finished(job.id, ()))
            assert await next_of(watcher, Finished) == Finished(job.id, ())
            await until(lambda: page.ledger.steps.standing([job.id])[job.id].step is None)

    run(scenario)


def test_steps_are_told_at_a_pace_and_only_while_somebody_looks(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    say = Channel.say
    monkeypatch.setattr(Channel, "say", lambda self, notes: said.extend(map(str, notes)) or say(self, notes))

    async def scenario() -> None:
        async with processes(postgres) as (page, worker):
            watched, alone = submit(page), submit(page)
            for _ in range(2):
                worker.bus.publish(Started(worker.claim().id))
            watcher = page.bus.watch(watched.id)
            await until(lambda: worker.bus.is_watched(watched.id))
            assert not worker.bus.is_watched(alone.id)
            loop = asyncio.get_running_loop()
            begun = loop.time()
            for step in range(1, 101):
                for job in (watched, alone):
                    worker.bus.publish(Stepped(job.id, step, 100, preview(step)))
                await asyncio.sleep(0.01)
            while (await next_of(watcher, Stepped)).step < 100:
                pass
            most = (loop.time() - begun) / telling.PACE + 1
            assert 2 <= said.count(f"step:{watched.id}") <= most
            assert f"step:{alone.id}" not in said
            standing = page.ledger.steps.standing([alone.id])[alone.id].step
            assert standing is not None
            assert (standing.step, standing.preview) == (0, None)
            assert max(map(len, said)) < 100

    run(scenario)


def test_a_watch_ends_by_itself(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "WATCHED_FOR", 2.0)
    monkeypatch.setattr(module, "REPEAT", 0.5)

    async def scenario() -> None:
        async with processes(postgres) as (page, worker):
            job = submit(page)
            worker.bus.publish(Started(worker.claim().id))
            watcher = page.bus.watch(job.id)
            await until(lambda: worker.bus.is_watched(job.id))
            await asyncio.sleep(4)
            assert worker.bus.is_watched(job.id)  # it is said again and again
            watcher.close()
            await until(lambda: not worker.bus.is_watched(job.id), 5)

    run(scenario)


@pytest.mark.parametrize("lost", [False, True])
def test_ends_that_others_made_and_lost_notes(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, lost: bool
) -> None:
    if lost:
        monkeypatch.setattr(Channel, "say", lambda self, notes: None)

    async def scenario() -> None:
        async with processes(postgres) as (page, worker):
            jobs = [submit(page) for _ in range(3)]
            watchers = [page.bus.watch(job.id) for job in jobs]
            loop = asyncio.get_running_loop()
            for watcher in watchers:
                worker.claim()
                worker.bus.publish(Started(watcher.job_id))
                await next_of(watcher, Started)
            begun = loop.time()
            page.ledger.cancel(jobs[0].id)  # as the studio of the page does
            page.bus.publish(Cancelled(jobs[0].id))
            worker.ledger.fail(jobs[1].id, 1, "no memory")
            worker.bus.publish(Failed(jobs[1].id, "no memory"))
            worker.ledger.finish(jobs[2].id, 1, [], {})
            worker.bus.publish(Finished(jobs[2].id, ()))
            assert await next_of(watchers[0], Cancelled)
            assert (await next_of(watchers[1], Failed)).reason == "no memory"
            assert await next_of(watchers[2], Finished)
            assert worker.engine is not None
            await until(lambda: (jobs[0].id, 1) in worker.engine.lost)  # type: ignore[union-attr]
            assert loop.time() - begun < (3.0 if lost else 1.0)

    run(scenario)


def test_a_late_watcher_and_a_job_that_moved(postgres: PostgresServer) -> None:
    async def scenario() -> None:
        async with processes(postgres) as (page, worker):
            job = submit(page)
            worker.claim()
            worker.bus.publish(Started(job.id, ("first",)))
            worker.bus.publish(Stepped(job.id, 9, 20))
            watcher = page.bus.watch(job.id)
            assert (await next_of(watcher, Started)).notes == ("first",)
            page.ledger._database.write(lambda c: c.execute(text("UPDATE jobs SET lease = 'epoch'")))
            assert page.ledger.leases.take_back() == ([job.id], [])
            assert worker.engine is not None
            await until(lambda: worker.engine.lost == [(job.id, 1)])  # type: ignore[union-attr]
            worker.claim()
            worker.bus.publish(Started(job.id, ("second",)))
            assert (await next_of(watcher, Started)).notes == ("second",)

    run(scenario)


def test_pause_and_resume_are_answered(postgres: PostgresServer) -> None:
    async def scenario() -> None:
        async with processes(postgres) as (page, worker):
            work = SharedWork(page.ledger, page.relay, Positions(page.ledger, page.bus), None, lambda: None)
            job = submit(page)
            with pytest.raises(BadRequest, match="has not begun yet"):
                await work.pause(job.id)
            worker.claim()
            worker.bus.publish(Started(job.id))
            watcher = page.bus.watch(job.id)
            await work.pause(job.id)
            assert work.is_paused(job.id)
            assert await next_of(watcher, Paused)
            await work.pause(job.id)  # it is already
            await work.resume(job.id)
            assert not work.is_paused(job.id)
            assert await next_of(watcher, Started)
            await work.resume(job.id)
            assert worker.engine is not None
            worker.engine.refuses = "two are paused"
            with pytest.raises(BadRequest, match="job: two are paused"):
                await work.pause(job.id)
            worker.engine.refuses = None
            await work.pause(job.id)  # an old refusal does not count
            assert work.is_paused(job.id)

    run(scenario)


def test_a_worker_that_does_not_answer(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calotype.dispatch.shared._ANSWER", 0.2)

    async def scenario() -> None:
        async with processes(postgres) as (page, worker):
            work = SharedWork(page.ledger, page.relay, Positions(page.ledger, page.bus), None, lambda: None)
            job = submit(page)
            worker.claim()
            assert worker.engine is not None
            worker.engine.claims.clear()
            with pytest.raises(BadRequest, match="does not answer; try again"):
                await work.pause(job.id)

    run(scenario)


def test_who_is_ready_is_known_everywhere(postgres: PostgresServer) -> None:
    async def scenario() -> None:
        async with processes(postgres) as (page, worker):
            work = SharedWork(page.ledger, page.relay, Positions(page.ledger, page.bus), None, lambda: None)
            assert work.engine is None
            assert work.problem is None
            await until(lambda: work.ready, 5)
            assert work.held is None
            await asyncio.to_thread(worker.close)
            await until(lambda: not work.ready, 5)
            assert work.held == NO_WORKER
            full = SharedWork(page.ledger, page.relay, Positions(page.ledger, page.bus), None, lambda: "full")
            assert full.held == "full"

    run(scenario)


def test_leases_are_renewed_and_a_lost_one_is_dropped(postgres: PostgresServer) -> None:
    async def scenario() -> None:
        async with processes(postgres, lease=3.0) as (page, worker):
            kept, lost = submit(page), submit(page)
            worker.claim()
            worker.claim()
            await asyncio.sleep(4.5)
            assert page.ledger.leases.take_back() == ([], [])  # without renewing they had run out
            page.ledger.cancel(lost.id)
            assert worker.engine is not None
            await until(lambda: worker.engine.lost == [(lost.id, 1)], 3)  # type: ignore[union-attr]
            assert worker.engine.claims == {kept.id: 1}

    run(scenario)


def test_a_submit_wakes_workers_and_positions_are_told(postgres: PostgresServer) -> None:
    async def scenario() -> None:
        async with processes(postgres) as (page, worker):
            positions = Positions(page.ledger, page.bus)
            page.relay.queue_changed = positions.changed
            work = SharedWork(page.ledger, page.relay, positions, None, lambda: None)
            telling_positions = asyncio.create_task(positions.run())
            assert worker.engine is not None
            first, second = submit(page), submit(page)
            watcher = page.bus.watch(second.id)
            assert (await next_of(watcher, Queued)).position == 1
            worker.engine.woken.clear()
            work.submitted(second.id)
            await until(worker.engine.woken.is_set, 1)
            worker.claim()
            worker.bus.publish(Started(first.id))
            assert (await next_of(watcher, Queued)).position == 0
            telling_positions.cancel()

    run(scenario)


def test_lost_connections_heal(postgres: PostgresServer) -> None:
    async def scenario() -> None:
        async with processes(postgres) as (page, worker):
            job = submit(page)
            watcher = page.bus.watch(job.id)
            worker.claim()
            kill = text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            await asyncio.to_thread(page.ledger._database.write, lambda c: c.execute(kill) and None)
            worker.ledger.finish(job.id, 1, [], {})
            worker.bus.publish(Finished(job.id, ()))
            async with asyncio.timeout(4):
                assert await next_of(watcher, Finished)
            await until(lambda: page.ledger.alive(Kind.WORKER) != set(), 4)

    run(scenario)


def test_strange_notes_do_no_harm(postgres: PostgresServer) -> None:
    async def scenario() -> None:
        async with processes(postgres) as (page, worker):
            say = text("SELECT pg_notify('calotype', :said)")
            for said in ("", ":", "ended:", "ended:no such job", "pause:x", "watch:", "что-то:x", "step:" + "x" * 7000):
                await asyncio.to_thread(
                    page.ledger._database.write, lambda c, said=said: c.execute(say, {"said": said}) and None
                )
            job = submit(page)
            watcher = page.bus.watch(job.id)
            worker.claim()
            worker.bus.publish(Started(job.id))
            assert await next_of(watcher, Started)

    run(scenario)
