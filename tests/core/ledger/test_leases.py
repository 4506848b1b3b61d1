"""Leases on PostgreSQL: by the database's clock, with every stale holder fenced off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass

import pytest
from sqlalchemy import Connection, text

from calotype.job import Job, JobStatus
from calotype.ledger import Ledger
from calotype.ledger.leases import Holder
from calotype.ledger.session import Kind
from calotype.person import Person
from calotype.request import Request
from databases import PostgresServer, sqlite_databases

REQUEST = Request(prompt="blue cat", seed=7)
ANN, BOB = Person("web:ann"), Person("web:bob")


@dataclass
class Workers:
    """Two processes' ledgers on one database."""

    one: Ledger
    two: Ledger

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        """The rows of a query, none of a change."""

        def work(connection: Connection) -> list[tuple[object, ...]]:
            result = connection.execute(text(statement))
            return [tuple(row) for row in result] if result.returns_rows else []

        return self.one._database.write(work)


@pytest.fixture
def workers(postgres: PostgresServer) -> Iterator[Workers]:
    url = postgres.ready()
    with ExitStack() as stack:
        one, two = (stack.enter_context(closing(Ledger(url))) for _ in range(2))
        one.leases.holder, two.leases.holder = Holder("one", 30.0), Holder("two", 30.0)
        yield Workers(one, two)


def claimed(ledger: Ledger, person: Person = ANN) -> Job:
    ledger.submit(person, REQUEST, cost=1.0)
    (job,) = ledger.claim()
    return job


def test_a_claim_is_held_by_the_databases_clock(workers: Workers) -> None:
    job = claimed(workers.one)
    rows = workers.sql(
        f"SELECT worker, lease - clock_timestamp() < interval '30 s', lease - clock_timestamp() > interval '25 s' "
        f"FROM jobs WHERE id = '{job.id}'"
    )
    assert rows == [("one", True, True)]
    assert workers.one.leases.held() == {job.id: 1}
    assert workers.two.leases.held() == {}
    assert workers.two.leases.take_back() == ([], [])  # it holds


def test_renewing_keeps_all_of_ones_own_and_nothing_else(workers: Workers) -> None:
    mine, other = claimed(workers.one), claimed(workers.two, BOB)
    workers.sql("UPDATE jobs SET lease = clock_timestamp() - interval '1 s'")
    assert workers.one.leases.renew() == {mine.id: 1}
    assert workers.two.leases.take_back() == ([other.id], [])
    assert workers.two.leases.renew() == {}
    assert workers.one.finish(mine.id, mine.epoch, [], {})
    assert workers.one.leases.renew() == {}


def test_a_lease_that_ran_out_is_uncharged_and_fenced(workers: Workers) -> None:
    job = claimed(workers.one)
    before = workers.sql("SELECT vtime FROM persons")
    workers.sql("UPDATE jobs SET lease = clock_timestamp() - interval '1 ms'")
    assert workers.two.leases.take_back() == ([job.id], [])
    assert workers.sql("SELECT vtime, queued, running FROM persons") == [(0.0, 1, 0)]
    assert before == [(1.0,)]
    assert workers.sql("SELECT worker, lease, attempts FROM jobs") == [(None, None, 1)]
    (again,) = workers.two.claim()
    assert (again.id, again.epoch, again.attempts) == (job.id, 2, 2)
    assert not workers.one.finish(job.id, job.epoch, [], {})
    assert not workers.one.fail(job.id, job.epoch, "late")
    assert not workers.one.release(job.id, job.epoch)
    assert workers.one.leases.renew() == {}
    assert workers.two.finish(again.id, again.epoch, [], {})


def test_three_attempts_are_a_dead_letter(workers: Workers) -> None:
    job = claimed(workers.one)
    for _ in range(2):
        workers.sql("UPDATE jobs SET lease = clock_timestamp() - interval '1 s'")
        assert workers.two.leases.take_back() == ([job.id], [])
        workers.one.claim()
    workers.sql("UPDATE jobs SET lease = clock_timestamp() - interval '1 s'")
    assert workers.two.leases.take_back() == ([], [job.id])
    dead = workers.one.job(job.id)
    assert dead is not None
    assert dead.status is JobStatus.FAILED
    assert dead.error is not None
    assert "stopped 3 times" in dead.error
    assert workers.two.leases.take_back() == ([], [])
    assert workers.sql("SELECT queued, running FROM persons") == [(0, 0)]


def test_who_is_gone_is_seen_at_once(workers: Workers) -> None:
    mine, other = claimed(workers.one), claimed(workers.two, BOB)
    with closing(workers.one.session()) as one:
        assert one.lock(Kind.WORKER, "one")
        with closing(workers.two.session()) as two:
            assert two.lock(Kind.WORKER, "two")
            assert workers.one.leases.gone() == set()
        assert workers.one.leases.gone() == {"two"}
        assert workers.one.leases.take_back({"two"}) == ([other.id], [])  # though its lease holds
        assert workers.one.leases.gone() == set()
    assert workers.two.leases.gone() == {"one"}
    assert workers.two.leases.held() == {}
    assert workers.one.leases.held() == {mine.id: 1}


def test_two_who_take_back_at_once_do_it_once(workers: Workers) -> None:
    job = claimed(workers.one)
    workers.sql("UPDATE jobs SET lease = clock_timestamp() - interval '1 s'")
    from calotype.ledger import leases

    (found,) = workers.two._database.read(leases.lost, [])
    assert workers.one.leases.take_back() == ([job.id], [])
    assert workers.two._database.write(leases.take_back, *found, [], 3) is None
    (again,) = workers.two.claim()
    assert workers.one._database.write(leases.take_back, *found, [], 3) is None  # another claim: not what was lost
    assert again.epoch == 2
    assert workers.sql("SELECT queued, running FROM persons") == [(0, 1)]


def test_what_was_claimed_before_there_were_leases_is_nobodys(workers: Workers) -> None:
    workers.one.leases.holder = None
    job = claimed(workers.one)
    assert workers.two.leases.take_back() == ([job.id], [])


def test_a_released_and_an_ended_job_have_no_lease(workers: Workers) -> None:
    job = claimed(workers.one)
    assert workers.one.release(job.id, job.epoch)
    assert workers.sql("SELECT worker, lease, attempts FROM jobs") == [(None, None, 0)]
    (again,) = workers.one.claim()
    workers.one.cancel(again.id)
    assert workers.sql("SELECT lease FROM jobs") == [(None,)]


def test_a_file_has_no_leases(tmp_path_factory: pytest.TempPathFactory) -> None:
    with closing(Ledger(sqlite_databases(tmp_path_factory.mktemp("x"))())) as ledger:
        assert not ledger.shared
        job = claimed(ledger)
        assert ledger.leases.renew() == {}
        assert ledger.recover() == ([job.id], [])
