"""A job's life: submit, claim, release, finish, fail, cancel, recover."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, text, update

from calotype.errors import DatabaseError
from calotype.job import Job, JobStatus, Picture
from calotype.ledger import Ledger, outbox
from calotype.ledger.tables import jobs
from calotype.person import Person
from calotype.request import Request

ANN, BEN = Person("web:ann", "Ann"), Person("discord:2", "Ben", weight=2.0)
REQUEST = Request(prompt="blue cat", seed=7, steps=4, width=64, height=64, model="v0", sampler="euler")
PICTURE = Picture(0, 7, "ab" * 32, 64, 64, ("film_grain was skipped",))


def rows(ledger: Ledger, sql: str) -> list[Any]:
    return ledger._database.read(lambda connection: [tuple(row) for row in connection.execute(text(sql))])


def claimed(ledger: Ledger, person: Person = ANN, **more: Any) -> Job:
    ledger.submit(person, REQUEST, cost=1.0, **more)
    (job,) = ledger.claim()
    return job


def test_submit_returns_what_is_stored(ledger: Ledger) -> None:
    rich = REQUEST.model_copy(update={"guidance": 7, "options": {"upscale": True, "film_grain": {"amount": 0.5}}})
    job = ledger.submit(ANN, rich, cost=2.5, reply_to={"front_end": "web", "tab": "ä☃"})
    assert job == ledger.job(job.id)
    assert job.status is JobStatus.QUEUED
    assert (job.person, job.request, job.cost, job.epoch, job.attempts) == (ANN.key, rich, 2.5, 0, 0)
    assert job.created.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - job.created) < timedelta(minutes=1)


def test_unknown_job(ledger: Ledger) -> None:
    assert ledger.job("nope") is None
    assert ledger.cancel("nope") is None
    assert ledger.position("nope") is None
    assert not ledger.finish("nope", 1, [], {})
    assert not ledger.fail("nope", 1, "x")
    assert not ledger.release("nope", 1)


@pytest.mark.parametrize("cost", [0.0, -1.0, float("nan"), float("inf")])
def test_a_cost_that_would_break_the_order_is_refused(ledger: Ledger, cost: float) -> None:
    with pytest.raises(ValueError, match="cost"):
        ledger.submit(ANN, REQUEST, cost=cost)
    with pytest.raises(ValueError, match="weight"):
        ledger.submit(Person("web:x", weight=cost), REQUEST, cost=1.0)
    assert rows(ledger, "SELECT * FROM persons") == []


@pytest.mark.parametrize("address", [{}, {"front_end": ""}, {"front_end": 3}])
def test_a_reply_without_a_front_end_is_refused(ledger: Ledger, address: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="front_end"):
        ledger.submit(ANN, REQUEST, cost=1.0, reply_to=address)
    assert ledger.history(None) == []


def test_a_key_is_one_job_of_its_person(ledger: Ledger) -> None:
    first = ledger.submit(ANN, REQUEST, cost=1.0, key="k")
    assert ledger.submit(ANN, REQUEST.model_copy(update={"prompt": "other"}), cost=9.0, key="k") == first
    assert ledger.submit(BEN, REQUEST, cost=1.0, key="k").id != first.id
    assert ledger.submit(ANN, REQUEST, cost=1.0).id != ledger.submit(ANN, REQUEST, cost=1.0).id
    (running,) = ledger.claim()
    assert ledger.submit(ANN, REQUEST, cost=1.0, key="k") == running


def test_a_key_from_eight_threads_is_one_job(ledger: Ledger) -> None:
    start = threading.Barrier(8)

    def submit(_: int) -> str:
        start.wait()
        return ledger.submit(ANN, REQUEST, cost=1.0, key="k").id

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(submit, range(8)))) == 1
    assert ledger.counts()[JobStatus.QUEUED] == 1


def test_claims_from_eight_threads_give_each_job_once(ledger: Ledger) -> None:
    submitted = {ledger.submit(Person(f"web:{n % 7}"), REQUEST, cost=1.0 + n % 3).id for n in range(120)}
    start = threading.Barrier(8)

    def work(_: int) -> list[str]:
        start.wait()
        mine: list[str] = []
        while jobs := ledger.claim(2):
            mine += [job.id for job in jobs if ledger.finish(job.id, job.epoch, [], {})]
        return mine

    with ThreadPoolExecutor(8) as threads:
        done = [job_id for mine in threads.map(work, range(8)) for job_id in mine]
    assert len(done) == len(submitted)
    assert set(done) == submitted


def test_finish(ledger: Ledger) -> None:
    job = claimed(ledger)
    assert (job.status, job.epoch, job.attempts) == (JobStatus.RUNNING, 1, 1)
    assert job.started is not None
    assert ledger.finish(job.id, job.epoch, [PICTURE], {"device": "cpu", "seconds": 1.5})
    done = ledger.job(job.id)
    assert done is not None
    assert (done.status, done.pictures) == (JobStatus.FINISHED, (PICTURE,))
    assert done.record == {"device": "cpu", "seconds": 1.5}
    assert done.finished is not None
    assert not ledger.finish(job.id, job.epoch, [PICTURE], {})
    assert not ledger.fail(job.id, job.epoch, "late")
    assert not ledger.release(job.id, job.epoch)
    assert ledger.cancel(job.id) == done == ledger.job(job.id)


def test_fail(ledger: Ledger) -> None:
    job = claimed(ledger)
    assert ledger.fail(job.id, job.epoch, "out of memory", {"device": "cpu"})
    failed = ledger.job(job.id)
    assert failed is not None
    assert (failed.status, failed.error, failed.record) == (JobStatus.FAILED, "out of memory", {"device": "cpu"})


@pytest.mark.parametrize("step", ["finish", "fail", "release"])
def test_a_stale_claim_changes_nothing(ledger: Ledger, step: str) -> None:
    old = claimed(ledger, reply_to={"front_end": "web"})
    assert ledger.release(old.id, old.epoch)
    (new,) = ledger.claim()
    assert (new.id, new.epoch) == (old.id, old.epoch + 1)
    steps: dict[str, Callable[[], bool]] = {
        "finish": lambda: ledger.finish(old.id, old.epoch, [PICTURE], {}),
        "fail": lambda: ledger.fail(old.id, old.epoch, "x"),
        "release": lambda: ledger.release(old.id, old.epoch),
    }
    assert not steps[step]()
    assert ledger.job(old.id) == new
    assert ledger.deliveries("web") == []


def test_release_gives_everything_back(ledger: Ledger) -> None:
    first, second = (ledger.submit(BEN, REQUEST, cost=3.0) for _ in range(2))
    before = rows(ledger, "SELECT queued, running, vtime FROM persons")
    (job,) = ledger.claim()
    assert rows(ledger, "SELECT queued, running, vtime FROM persons") == [(1, 1, 1.5)]
    assert ledger.release(job.id, job.epoch)
    assert rows(ledger, "SELECT queued, running, vtime FROM persons") == before
    assert ledger.positions([first.id, second.id]) == {first.id: 0, second.id: 1}
    released = ledger.job(first.id)
    assert released is not None
    assert (released.status, released.started, released.attempts) == (JobStatus.QUEUED, None, 0)


def test_cancel(ledger: Ledger) -> None:
    running, queued = claimed(ledger), ledger.submit(ANN, REQUEST, cost=1.0)
    for job in (running, queued):
        cancelled = ledger.cancel(job.id)
        assert cancelled is not None
        assert cancelled.status is JobStatus.CANCELLED
        assert cancelled.finished is not None
    assert not ledger.finish(running.id, running.epoch, [PICTURE], {})
    assert ledger.claim() == []
    assert rows(ledger, "SELECT queued, running FROM persons") == [(0, 0)]


def test_cancelling_is_posted_once(ledger: Ledger) -> None:
    job = ledger.submit(ANN, REQUEST, cost=1.0, reply_to={"front_end": "web"})
    ledger.cancel(job.id)
    ledger.cancel(job.id)
    assert [(d.job.id, d.job.status) for d in ledger.deliveries("web")] == [(job.id, JobStatus.CANCELLED)]


def test_erase_takes_everything_of_a_job_that_is_over(ledger: Ledger) -> None:
    job = claimed(ledger, reply_to={"front_end": "web"})
    assert not ledger.erase(job.id), "it still runs"
    assert ledger.finish(job.id, job.epoch, [PICTURE], {})
    assert ledger.unreferenced([PICTURE.sha256]) == set()
    assert ledger.erase(job.id)
    assert not ledger.erase(job.id)
    assert ledger.job(job.id) is None
    assert ledger.deliveries("web") == []
    assert ledger.unreferenced([PICTURE.sha256]) == {PICTURE.sha256}


def test_recover_tries_again_and_then_gives_up(url: str) -> None:
    ledger = Ledger(url)
    killer = ledger.submit(ANN, REQUEST, cost=1.0, reply_to={"front_end": "web"})
    waiting = ledger.submit(BEN, REQUEST, cost=1.0)
    for attempt in range(1, 4):
        (job,) = [job for job in ledger.claim(2) if job.id == killer.id]
        assert job.attempts == attempt
        ledger.release(waiting.id, attempt)
        ledger.close()
        ledger = Ledger(url)
        expected: tuple[list[str], list[str]] = ([killer.id], []) if attempt < 3 else ([], [killer.id])
        assert ledger.recover(max_attempts=3) == expected
    assert ledger.recover() == ([], [])
    dead = ledger.job(killer.id)
    assert dead is not None
    assert dead.status is JobStatus.FAILED
    assert "3 times" in (dead.error or "")
    assert [delivery.job.id for delivery in ledger.deliveries("web")] == [killer.id]
    assert [job.id for job in ledger.claim(5)] == [waiting.id]
    ledger.close()


def test_a_job_that_was_tried_too_often_waits_for_its_turn_to_run_alone(url: str) -> None:
    with closing(Ledger(url)) as ledger:
        tried = ledger.submit(ANN, REQUEST, cost=1.0)
        for _ in range(2):
            assert [job.id for job in ledger.claim()] == [tried.id]
            assert ledger.recover() == ([tried.id], [])
        behind = ledger.submit(BEN, REQUEST, cost=1.0)
        assert ledger.claim(5, tried_at_most=1) == []
        assert ledger.job(behind.id) == behind, "nobody takes its turn"
        assert [(job.id, job.attempts) for job in ledger.claim(1, tried_at_most=2)] == [(tried.id, 3)]
        assert [job.id for job in ledger.claim(5, tried_at_most=1)] == [behind.id]


def test_result_and_delivery_are_one_transaction(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    job = claimed(ledger, reply_to={"front_end": "web"})

    def broken(*_: Any) -> None:
        raise RuntimeError("killed here")

    monkeypatch.setattr(outbox, "post", broken)
    with pytest.raises(RuntimeError, match="killed here"):
        ledger.finish(job.id, job.epoch, [PICTURE], {})
    assert ledger.job(job.id) == job
    monkeypatch.undo()
    assert ledger.finish(job.id, job.epoch, [PICTURE], {})
    assert [delivery.job.pictures for delivery in ledger.deliveries("web")] == [(PICTURE,)]


def no_more_space(connection: Connection) -> None:
    """From now on the database refuses as it does on a full disk."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA max_page_count = 1")
        return
    refuse = "RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'"
    body = f"BEGIN {refuse}; END".replace("'", "''")
    connection.exec_driver_sql(f"CREATE FUNCTION refuse() RETURNS trigger AS '{body}' LANGUAGE plpgsql")
    connection.exec_driver_sql("CREATE TRIGGER full_disk BEFORE INSERT ON jobs EXECUTE FUNCTION refuse()")


def test_a_full_disk_is_said_in_one_line_and_nothing_is_lost(ledger: Ledger) -> None:
    job = claimed(ledger)
    ledger._database.write(no_more_space)

    def fill() -> None:
        for _ in range(100):
            ledger.submit(ANN, REQUEST.model_copy(update={"prompt": "x" * 2000}), cost=1.0)

    with pytest.raises(DatabaseError, match="free some disk space") as caught:
        fill()
    assert "\n" not in str(caught.value)
    assert ledger.job(job.id) == job


def test_old_rows_stay_readable_when_limits_change(ledger: Ledger) -> None:
    job = ledger.submit(ANN, REQUEST, cost=1.0)
    old = {**REQUEST.model_dump(mode="json", exclude_none=True), "steps": 9999}
    ledger._database.write(lambda connection: connection.execute(update(jobs).values(request=old)))
    (read,) = ledger.history(ANN.key)
    assert read.id == job.id
    assert read.request.steps == 9999
    assert read.request.prompt == "blue cat"


def test_clock_jumps_change_no_order(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    submitted = []
    for offset in (0, 3600, -3600, -7200, 86400):
        then = datetime.now(UTC) + timedelta(seconds=offset)
        monkeypatch.setattr("calotype.job.time.time", then.timestamp)
        for module in ("queue", "ending", "outbox"):
            monkeypatch.setattr(f"calotype.ledger.{module}.now", lambda then=then: then)
        submitted.append(ledger.submit(ANN, REQUEST, cost=1.0, reply_to={"front_end": "web"}).id)
        if offset == 3600:  # recorded an hour ahead; then the clock goes back, and it is delivered all the same
            (job,) = ledger.claim()
            ledger.finish(job.id, job.epoch, [], {})
    assert [delivery.job.id for delivery in ledger.deliveries("web")] == submitted[:1]
    assert [job.id for job in ledger.history(ANN.key)] == submitted[::-1]
    assert [job.id for job in ledger.claim(9)] == submitted[1:]


def test_what_is_done_to_anothers_job_is_audited_and_ones_own_is_not(ledger: Ledger) -> None:
    mine, theirs, over = (ledger.submit(ANN, REQUEST, cost=1.0) for _ in range(3))
    ledger.cancel(mine.id, ANN.key)
    ledger.erase(mine.id, ANN.key)
    ledger.cancel(over.id)
    assert ledger.people.audit() == []
    ledger.cancel(theirs.id, BEN.key)
    ledger.cancel(theirs.id, BEN.key)  # it is cancelled already: nothing was done
    assert not ledger.erase("nope", BEN.key)
    ledger.erase(theirs.id, BEN.key)
    found = [(each.actor, each.action, each.subject, each.details) for each in ledger.people.audit()]
    assert found == [
        (BEN.key, "erase_job", theirs.id, {"owner": ANN.key}),
        (BEN.key, "cancel", theirs.id, {"owner": ANN.key}),
    ]


def test_linked_accounts_are_one_owner_to_the_audit(ledger: Ledger) -> None:
    job = ledger.submit(ANN, REQUEST, cost=1.0)
    ledger.submit(BEN, REQUEST, cost=1.0)
    ledger.people.link(BEN, ledger.people.link_code(ANN).code)
    before = len(ledger.people.audit())
    ledger.cancel(job.id, BEN.key)
    assert len(ledger.people.audit()) == before


def test_what_a_front_end_has_under_way_comes_in_pages(ledger: Ledger) -> None:
    asked = [ledger.submit(ANN, REQUEST, cost=1.0, reply_to={"front_end": "discord"}) for _ in range(5)]
    ledger.submit(ANN, REQUEST, cost=1.0, reply_to={"front_end": "web"})
    ledger.submit(ANN, REQUEST, cost=1.0)
    (running,) = ledger.claim()
    assert running.id == asked[0].id
    ledger.cancel(asked[1].id)
    page = ledger.under_way("discord", 0, 2)
    assert [job.id for _, job in page] == [asked[0].id, asked[2].id]
    assert [job.id for _, job in ledger.under_way("discord", page[-1][0], 5)] == [asked[3].id, asked[4].id]
    assert ledger.under_way("other") == []
