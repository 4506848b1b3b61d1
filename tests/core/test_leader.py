"""Who leads does the chores, once a period; who is left takes over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from calotype import leader as module
from calotype import takeover
from calotype.bus import Bus
from calotype.errors import DatabaseError
from calotype.events import Event, Failed
from calotype.job import JobStatus
from calotype.leader import Chore, Leader
from calotype.ledger import Ledger
from calotype.ledger.leases import Holder
from calotype.ledger.session import Kind
from calotype.ledger.steps import Step
from calotype.person import Person
from calotype.request import Request
from calotype.takeover import Takeover
from databases import PostgresServer, postgres_server, sqlite_databases

LONG = timedelta(days=36500)


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def file_ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(sqlite_databases(tmp_path)())) as ledger:
        yield ledger


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TRY_EVERY", 0.05)
    monkeypatch.setattr(takeover, "GRACE", 0.2)


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_one_process_of_a_file_leads_at_once(file_ledger: Ledger) -> None:
    ran = threading.Event()
    leader = Leader(file_ledger, None, [Chore("x", ran.set, LONG)])
    leader.start()
    try:
        assert leader.leads
        assert ran.wait(5)
    finally:
        leader.stop()
    assert not leader.leads


def test_a_chore_is_not_repeated_in_its_period_after_a_restart(file_ledger: Ledger) -> None:
    ran: list[str] = []
    for _ in range(2):
        again = threading.Event()
        chores = [Chore("once", lambda: ran.append("once"), LONG), Chore("free", again.set, LONG, once=False)]
        leader = Leader(file_ledger, None, chores)
        leader.start()
        assert again.wait(5)
        leader.stop()
    assert ran == ["once"]


def test_a_chore_that_fails_is_called_again(file_ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []
    fourth = threading.Event()

    def broken() -> None:
        calls.append(1)
        if len(calls) >= 4:
            fourth.set()
        if len(calls) == 1:
            raise RuntimeError("the disk is gone")
        raise DatabaseError("database: gone")

    leader = Leader(file_ledger, None, [Chore("x", broken, timedelta(seconds=0.05), once=False)])
    leader.start()
    assert fourth.wait(5)
    leader.stop()
    assert "the disk is gone" in caplog.text
    assert caplog.text.count("database: gone") == 1  # a database that is away is told of once


def test_waits_before_its_first_time(file_ledger: Ledger) -> None:
    ran, other = threading.Event(), threading.Event()
    chores = [Chore("late", ran.set, LONG, first_after=timedelta(minutes=1)), Chore("x", other.set, LONG)]
    leader = Leader(file_ledger, None, chores)
    leader.start()
    assert other.wait(5)
    leader.stop()
    assert not ran.is_set()


def test_stop_without_start(file_ledger: Ledger) -> None:
    Leader(file_ledger, None, []).stop()


def test_one_of_three_leads_and_another_takes_over(postgres: PostgresServer) -> None:
    url, ran = postgres.ready(), []
    with ExitStack() as stack:
        leaders: list[Leader] = []
        sessions = []
        for number in range(3):
            ledger = stack.enter_context(closing(Ledger(url)))
            session = stack.enter_context(closing(ledger.session()))
            chore = Chore("x", lambda number=number: ran.append(number), LONG)  # type: ignore[misc]
            leaders.append(Leader(ledger, session, [chore]))
            sessions.append(session)
        for leader in leaders:
            leader.start()
        try:
            until(lambda: sum(leader.leads for leader in leaders) == 1)
            (first,) = [leader for leader in leaders if leader.leads]
            until(lambda: ran)
            first.stop()  # as at its process' end
            rest = [leader for leader in leaders if leader is not first]
            until(lambda: sum(leader.leads for leader in rest) == 1)
            time.sleep(0.2)
            assert sum(leader.leads for leader in rest) == 1
            assert len(ran) == 1  # the new leader finds the period taken
        finally:
            for leader in leaders:
                leader.stop()
        assert sessions[0].lock(Kind.LEADER)


def test_who_lost_its_connection_leads_no_more(postgres: PostgresServer) -> None:
    url = postgres.ready()
    with ExitStack() as stack:
        ledger = stack.enter_context(closing(Ledger(url)))
        session, other = (stack.enter_context(closing(ledger.session())) for _ in range(2))
        leader = Leader(ledger, session, [])
        leader.start()
        until(lambda: leader.leads)
        with session._mutex:  # it cannot come back before the other one has it
            pid = session._pids[-1]
            kill = text("SELECT pg_terminate_backend(:pid)")
            ledger._database.write(lambda connection: connection.execute(kill, {"pid": pid}))
            until(lambda: other.lock(Kind.LEADER))
        until(lambda: not leader.leads)
        other.unlock(Kind.LEADER)
        until(lambda: leader.leads)
        leader.stop()


class Told(Bus):
    """A bus that remembers."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []

    def publish(self, event: Event) -> None:
        self.events.append(event)


def test_jobs_of_a_worker_that_is_gone_are_taken_back_after_a_moment(postgres: PostgresServer) -> None:
    with closing(Ledger(postgres.ready())) as ledger, closing(ledger.session()) as mine:
        bus, waits = Told(), list[str]()
        take = Takeover(ledger, mine, bus, waits.append)
        ledger.leases.holder = Holder("gone", 30.0)
        worker = ledger.session()
        assert worker.lock(Kind.WORKER, "gone")
        job = ledger.submit(Person("web:a"), Request(prompt="cat"), cost=1.0)
        ledger.claim()
        ledger.steps.write({job.id: Step(3, 20)})
        until(lambda: take() or time.monotonic() - mine.begun > 0.6)
        assert waits == []  # it lives
        worker.close()
        died = time.monotonic()
        until(lambda: take() or waits)
        assert 0.2 <= time.monotonic() - died < 5
        assert waits == [job.id]
        assert ledger.steps.standing([job.id])[job.id] == (JobStatus.QUEUED, 1, None)
        for _ in range(2):
            ledger.claim()
            until(lambda: take() or ledger.leases.held() == {})
        (event,) = bus.events
        assert isinstance(event, Failed)
        assert event.job_id == job.id
        assert "stopped 3 times" in event.reason


def test_after_a_restart_of_the_database_everybody_has_a_moment(postgres: PostgresServer) -> None:
    with closing(Ledger(postgres.ready())) as ledger, closing(ledger.session()) as mine:
        waits = list[str]()
        take = Takeover(ledger, mine, Told(), waits.append)
        ledger.leases.holder = Holder("gone", 30.0)
        job = ledger.submit(Person("web:a"), Request(prompt="cat"), cost=1.0)
        ledger.claim()
        take()
        time.sleep(0.3)
        mine._drop()  # as all connections do
        take()
        assert waits == []
        until(lambda: take() or waits == [job.id])


def test_a_connection_that_is_no_more_does_not_end_the_leader(postgres: PostgresServer) -> None:
    with closing(Ledger(postgres.ready())) as ledger, closing(ledger.session()) as session:
        done: list[int] = []
        leader = Leader(ledger, session, [Chore("count", lambda: done.append(1), timedelta(seconds=0.05), once=False)])
        leader.start()
        try:
            until(lambda: leader.leads and done)
            with session._mutex:
                assert session._connection is not None
                session._connection.close()
            until(lambda: session._connection is not None and not session._connection.closed)
            before = len(done)
            until(lambda: len(done) > before + 2)
            assert leader.leads
            assert leader._thread.is_alive()
        finally:
            leader.stop()
