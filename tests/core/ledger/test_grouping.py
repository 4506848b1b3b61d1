"""Group commit: who waits together is committed together, a failure is one's own, and nobody waits for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from calotype.errors import BadRequest, DatabaseError
from calotype.ledger import Ledger
from calotype.ledger import grouping as group_module
from calotype.ledger.database import Database
from calotype.ledger.grouping import LARGEST, Group
from calotype.person import Person
from calotype.request import Request
from databases import sqlite_databases

REQUEST = Request(prompt="blue cat", seed=7)
SLEEP = 0.002


@pytest.fixture(scope="module")
def new_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    return sqlite_databases(tmp_path_factory.mktemp("grouping"))


@pytest.fixture
def ledger(new_file: Callable[[], str]) -> Iterator[Ledger]:
    with closing(Ledger(new_file())) as ledger:
        yield ledger


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(LARGEST * 2) as pool:
        yield pool


def group_of(database: Database) -> Group:
    assert database._group is not None
    return database._group


@contextmanager
def held(database: Database, threads: ThreadPoolExecutor) -> Iterator[Callable[[int], None]]:
    """One write that does not end inside the block; gives a function that waits until so many stand in line."""
    inside, leave = threading.Event(), threading.Event()

    def work(_: Connection) -> None:
        inside.set()
        assert leave.wait(20)

    def until(number: int) -> None:
        deadline = time.monotonic() + 20
        while len(group_of(database)._line) < number:
            assert time.monotonic() < deadline
            time.sleep(SLEEP)

    first = threads.submit(database.write, work)
    assert inside.wait(20)
    try:
        yield until
    finally:
        leave.set()
    first.result(20)


def commits(database: Database) -> list[int]:
    """Grows by one with every commit."""
    seen: list[int] = []
    event.listen(database._engine, "commit", lambda _: seen.append(1))
    return seen


def person(n: int) -> Person:
    return Person(f"web:{n}")


def test_those_who_wait_share_a_commit(ledger: Ledger, threads: ThreadPoolExecutor) -> None:
    database = ledger._database
    seen = commits(database)
    with held(database, threads) as until:
        waiting = [threads.submit(ledger.submit, person(n), REQUEST, cost=1.0) for n in range(40)]
        until(40)
    ids = [each.result(20).id for each in waiting]
    assert len(seen) == 2
    assert {job.id for job in ledger.claim(99)} == set(ids)


def test_a_group_has_a_largest_size(ledger: Ledger, threads: ThreadPoolExecutor) -> None:
    database = ledger._database
    seen = commits(database)
    with held(database, threads) as until:
        waiting = [threads.submit(ledger.submit, person(n), REQUEST, cost=1.0) for n in range(LARGEST + 5)]
        until(LARGEST + 5)
    for each in waiting:
        each.result(20)
    assert len(seen) == 3


def test_a_failure_is_undone_alone_and_raised_where_it_belongs(ledger: Ledger, threads: ThreadPoolExecutor) -> None:
    """The bad ones write before they fail: their person, whom nobody must see afterwards."""
    database = ledger._database
    foreign = REQUEST.model_copy(update={"init_image": "0" * 64, "strength": 0.5})
    seen = commits(database)
    with held(database, threads) as until:
        waiting: list[Future[Any]] = []
        for n in range(9):
            asked = foreign if n % 3 == 1 else REQUEST
            waiting.append(threads.submit(ledger.submit, person(n), asked, cost=1.0))
        until(9)
    for n, each in enumerate(waiting):
        if n % 3 == 1:
            with pytest.raises(BadRequest, match="not one of your pictures"):
                each.result(20)
        else:
            each.result(20)
    assert len(seen) == 2
    people = database.read(lambda c: set(c.scalars(text("SELECT key FROM persons"))))
    assert people == {f"web:{n}" for n in range(9) if n % 3 != 1}


def test_who_comes_first_is_written_first(ledger: Ledger, threads: ThreadPoolExecutor) -> None:
    with held(ledger._database, threads) as until:
        for n in range(20):
            threads.submit(ledger.submit, person(n), REQUEST, cost=1.0)
            until(n + 1)
    assert [job.person for job in ledger.claim(20)] == [f"web:{n}" for n in range(20)]


def test_equal_keys_in_one_group_are_one_job(ledger: Ledger, threads: ThreadPoolExecutor) -> None:
    with held(ledger._database, threads) as until:
        waiting = [threads.submit(ledger.submit, person(1), REQUEST, cost=1.0, key="k") for _ in range(8)]
        until(8)
    assert len({each.result(20).id for each in waiting}) == 1


def test_of_a_group_that_the_database_undoes_each_is_done_alone(ledger: Ledger, threads: ThreadPoolExecutor) -> None:
    """SQLite ends the whole transaction where the disk is full: here a real one, by a limit on the file's pages."""
    database = ledger._database

    def too_much(connection: Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 1}")
        try:
            connection.exec_driver_sql("INSERT INTO steps VALUES ('x', '{}', zeroblob(1000000))")
        finally:
            connection.exec_driver_sql("PRAGMA max_page_count = 1073741823")

    with held(database, threads) as until:
        waiting = [threads.submit(ledger.submit, person(n), REQUEST, cost=1.0) for n in range(3)]
        full = threads.submit(database.write, too_much)
        until(4)
        waiting += [threads.submit(ledger.submit, person(n), REQUEST, cost=1.0) for n in range(3, 6)]
        until(7)
    with pytest.raises(DatabaseError, match="free some disk space"):
        full.result(20)
    assert {job.id for job in ledger.claim(9)} == {each.result(20).id for each in waiting}


def test_a_group_whose_commit_fails_is_done_one_by_one(
    ledger: Ledger, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = group_of(ledger._database)
    tried: list[int] = []

    def fails(tickets: list[Any]) -> None:
        tried.append(len(tickets))
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(group, "_together", fails)
    with held(ledger._database, threads) as until:
        waiting = [threads.submit(ledger.submit, person(n), REQUEST, cost=1.0) for n in range(3)]
        until(3)
    assert {each.result(20).person for each in waiting} == {"web:0", "web:1", "web:2"}
    assert tried == [3]
    assert len(ledger.claim(9)) == 3


def test_alone_there_is_no_savepoint(ledger: Ledger) -> None:
    sent: list[str] = []
    engine = ledger._database._engine
    event.listen(engine, "before_cursor_execute", lambda *given: sent.append(given[2]))
    ledger.submit(person(1), REQUEST, cost=1.0)
    assert not [statement for statement in sent if "SAVEPOINT" in statement]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_who_is_interrupted_while_waiting_holds_up_nobody(
    ledger: Ledger, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    """First in line it would have led the next group; else it stands among those who are led."""
    group = group_of(ledger._database)
    number = iter(range(100))
    interrupt = threading.Event()

    class Interrupted(group_module.Ticket):
        def wait(self) -> None:
            if next(number) != place:
                super().wait()
                return
            assert interrupt.wait(20)
            raise KeyboardInterrupt

    monkeypatch.setattr(group_module, "Ticket", Interrupted)
    with held(ledger._database, threads) as until:
        waiting = []
        for n in range(3):
            waiting.append(threads.submit(ledger.submit, person(n), REQUEST, cost=1.0))
            until(n + 1)
            time.sleep(SLEEP * 5)  # until it waits
        interrupt.set()
        with pytest.raises(KeyboardInterrupt):
            waiting[place].result(20)
    for n, each in enumerate(waiting):
        if n != place:
            assert each.result(20).person == f"web:{n}"
    assert not group._led
    ledger.submit(person(9), REQUEST, cost=1.0)


def test_closing_waits_for_what_stands_in_line(ledger: Ledger, threads: ThreadPoolExecutor, tmp_path: Path) -> None:
    with held(ledger._database, threads) as until:
        waiting = [threads.submit(ledger.submit, person(n), REQUEST, cost=1.0) for n in range(3)]
        until(3)
        closed = threads.submit(ledger.close)
        until(4)
        assert not closed.done()
    closed.result(20)
    assert all(each.result(20) for each in waiting)


def test_many_threads_for_a_while(ledger: Ledger, threads: ThreadPoolExecutor) -> None:
    """Without anybody holding: the line empties and fills, leaders come and go."""

    def work(n: int) -> list[str]:
        ids = [ledger.submit(person(n), REQUEST, cost=1.0, key=str(k)).id for k in range(10)]
        ledger.cancel(ids[0])
        return ids

    submitted = [job_id for ids in threads.map(work, range(24)) for job_id in ids]
    assert len(set(submitted)) == 240
    assert not group_of(ledger._database)._led
    assert len(ledger.claim(999)) == 240 - 24
