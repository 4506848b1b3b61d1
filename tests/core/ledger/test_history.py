"""History, counts, deliveries and retention."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from calotype.job import Job, JobStatus, Picture
from calotype.ledger import Ledger
from calotype.person import Person
from calotype.request import Request

ANN, BEN = Person("web:ann", "Ann"), Person("discord:2", "Ben")
REQUEST = Request(prompt="blue cat", seed=7)
FUTURE = timedelta(days=1)


def finished(ledger: Ledger, person: Person, sha256: str, front_end: str | None = None) -> Job:
    ledger.submit(person, REQUEST, cost=1.0, reply_to={"front_end": front_end} if front_end else None)
    (job,) = ledger.claim()
    assert ledger.finish(job.id, job.epoch, [Picture(k, 7 + k, sha256, 64, 64) for k in range(2)], {})
    done = ledger.job(job.id)
    assert done is not None
    return done


def test_history_in_pages(ledger: Ledger) -> None:
    mine = [finished(ledger, ANN, f"{n}" * 64) for n in range(5)]
    other = ledger.submit(BEN, REQUEST, cost=1.0)
    newest = mine[::-1]
    assert ledger.history(ANN.key) == newest
    assert ledger.history(ANN.key, limit=2) == newest[:2]
    assert ledger.history(ANN.key, limit=2, before=newest[1].id) == newest[2:4]
    assert ledger.history(ANN.key, before=newest[-1].id) == []
    assert ledger.history(None) == [other, *newest]
    assert ledger.history("nobody") == []
    assert ledger.history(None, limit=-1) == []


def test_a_page_goes_on_where_a_deleted_job_was(ledger: Ledger) -> None:
    jobs = [finished(ledger, ANN, f"{n}" * 64) for n in range(3)]
    gone = jobs[1].id
    ledger._database.write(lambda c: c.execute(text("DELETE FROM jobs WHERE id = :id"), {"id": gone}))
    assert ledger.history(ANN.key, before=gone) == [jobs[0]]
    assert ledger.history(ANN.key, before="0") == []


def test_counts(ledger: Ledger) -> None:
    assert ledger.counts() == dict.fromkeys(JobStatus, 0)
    finished(ledger, ANN, "a" * 64)
    ledger.submit(ANN, REQUEST, cost=1.0)
    assert ledger.counts() == dict.fromkeys(JobStatus, 0) | {JobStatus.FINISHED: 1, JobStatus.QUEUED: 1}


def test_deliveries_of_one_front_end(ledger: Ledger) -> None:
    first, second = finished(ledger, ANN, "a" * 64, "web"), finished(ledger, ANN, "b" * 64, "web")
    finished(ledger, ANN, "c" * 64, "bot")
    finished(ledger, ANN, "d" * 64)
    due = ledger.deliveries("web")
    assert [delivery.job for delivery in due] == [first, second]
    assert due[0].reply_to == {"front_end": "web"}
    assert ledger.deliveries("web", limit=1) == due[:1]
    ledger.delivered(due[0].id)
    ledger.delivered(due[0].id)
    assert ledger.deliveries("web") == due[1:]
    assert len(ledger.deliveries("bot")) == 1
    assert ledger.deliveries("nobody") == []


def test_a_delivery_is_tried_again_or_given_up(ledger: Ledger) -> None:
    finished(ledger, ANN, "a" * 64, "web")
    (delivery,) = ledger.deliveries("web")
    now = datetime.now(UTC)
    ledger.delivery_failed(delivery.id, "503", now + timedelta(hours=1))
    assert ledger.deliveries("web") == []
    ledger.delivery_failed(delivery.id, "504", now - timedelta(seconds=1))
    (again,) = ledger.deliveries("web")
    assert (again.id, again.attempts, again.error) == (delivery.id, 2, "504")
    ledger.delivery_failed(delivery.id, "gone", None)
    assert ledger.deliveries("web") == []
    with pytest.raises(Exception, match="time zone"):
        ledger.delivery_failed(delivery.id, "x", datetime(2026, 1, 1))


def test_expire_takes_all_of_a_job_and_nothing_else(ledger: Ledger) -> None:
    old = finished(ledger, ANN, "a" * 64, "web")
    queued, running = (ledger.submit(BEN, REQUEST, cost=1.0) for _ in range(2))
    ledger.claim()
    assert ledger.expire(datetime.now(UTC) - FUTURE) == 0
    assert ledger.expire(datetime.now(UTC) + FUTURE) == 0, "its result is still to be delivered"
    (waiting,) = ledger.deliveries("web")
    ledger.delivery_failed(waiting.id, "gone", None)
    assert ledger.expire(datetime.now(UTC) + FUTURE) == 1
    assert ledger.job(old.id) is None
    assert ledger._database.read(lambda c: c.scalar(text("SELECT count(*) FROM outbox"))) == 0
    assert ledger.unreferenced(["a" * 64, "b" * 64]) == {"a" * 64, "b" * 64}
    assert {job.id for job in ledger.history(None)} == {queued.id, running.id}


def test_expire_in_batches_oldest_first(ledger: Ledger) -> None:
    jobs = [finished(ledger, ANN, f"{n}" * 64) for n in range(5)]
    assert ledger.expire(datetime.now(UTC) + FUTURE, limit=2) == 2
    assert ledger.history(None) == jobs[:1:-1]
    assert ledger.expire(jobs[3].finished or datetime.now(UTC)) == 1


def test_expire_forgets_people_of_whom_nothing_is_left(ledger: Ledger) -> None:
    finished(ledger, ANN, "a" * 64)
    finished(ledger, BEN, "b" * 64)
    finished(ledger, BEN, "c" * 64)  # the clock has passed Ann's tag by now, but not Ben's
    # what they spent of a day's budget is kept for as long as that day lasts
    ledger._database.write(lambda connection: connection.execute(text("UPDATE persons SET spent_on = '2020-01-01'")))
    assert ledger.expire(datetime.now(UTC) + FUTURE) == 3
    left = ledger._database.read(lambda c: list(c.scalars(text("SELECT key FROM persons"))))
    assert left == [BEN.key]


def test_numbers_are_not_given_out_again(ledger: Ledger) -> None:
    finished(ledger, ANN, "a" * 64)
    ledger.expire(datetime.now(UTC) + FUTURE)
    ledger.submit(ANN, REQUEST, cost=1.0)
    assert ledger._database.read(lambda c: c.scalar(text("SELECT seq FROM jobs"))) == 2


def test_unreferenced(ledger: Ledger) -> None:
    finished(ledger, ANN, "a" * 64)
    assert ledger.unreferenced([]) == set()
    many = [f"{n:064x}" for n in range(1200)]
    assert ledger.unreferenced(["a" * 64, *many]) == set(many)
