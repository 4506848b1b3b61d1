"""What retention takes, by age and by size, on both databases; and what it leaves because it still matters."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from calotype import chores, shrinking
from calotype.chores import Chores
from calotype.images.store import ImageStore
from calotype.job import Job, Picture
from calotype.ledger import Ledger
from calotype.ledger.tables import clock, jobs, persons
from calotype.person import Person
from calotype.request import Request

ANN = Person("web:ann")
REQUEST = Request(prompt="blue cat", seed=7)
TO = {"front_end": "discord"}
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SIZE = 1000
"""Bytes of a picture here."""


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    with closing(Ledger(url)) as ledger:
        yield ledger


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


def made(
    ledger: Ledger, store: ImageStore, ago: timedelta, *, reply_to: Mapping[str, Any] | None = None, who: Person = ANN
) -> Job:
    """A job that ended so long ago, with a picture of its own."""
    job = ledger.submit(who, REQUEST, cost=1.0, reply_to=reply_to)
    claimed = ledger.claim_job(job.id)
    assert claimed is not None
    sha256 = store.put(job.id.encode().ljust(SIZE))
    assert ledger.finish(job.id, claimed.epoch, [Picture(0, 7, sha256, 64, 64)], {})
    ended(ledger, job, ago)
    return job


def ended(ledger: Ledger, job: Job, ago: timedelta) -> None:
    change = update(jobs).where(jobs.c.id == job.id).values(finished=datetime.now(UTC) - ago)
    ledger._database.write(lambda connection: connection.execute(change))


def left(ledger: Ledger) -> set[str]:
    return {job.id for job in ledger.history(None)}


def by_age(ledger: Ledger, store: ImageStore) -> Chores:
    return Chores(ledger, store, retention_days=2)


def by_size(ledger: Ledger, store: ImageStore, pictures: int = 0) -> Chores:
    """Room for so many."""
    return Chores(ledger, store, retention_days=0, retention_gb=(pictures * SIZE + 1) / 10**9)


@pytest.mark.parametrize("retention", [by_age, by_size])
def test_a_result_that_is_still_to_be_delivered_stays(ledger: Ledger, store: ImageStore, retention: Any) -> None:
    waiting, tried, worn_out, arrived = (made(ledger, store, 3 * DAY, reply_to=TO) for _ in range(4))
    made(ledger, store, 3 * DAY)
    of = {each.job.id: each.id for each in ledger.deliveries("discord")}
    ledger.delivery_failed(of[tried.id], "away", datetime.now(UTC) + DAY)
    ledger.delivery_failed(of[worn_out.id], "refused", None)
    ledger.delivered(of[arrived.id])
    assert retention(ledger, store).retention().jobs == 3
    assert left(ledger) == {waiting.id, tried.id}
    ledger.delivered(of[waiting.id])
    ledger.delivery_failed(of[tried.id], "refused", None)
    assert retention(ledger, store).retention().jobs == 2
    assert left(ledger) == set()


def test_what_was_named_is_looked_at_again_when_it_goes(ledger: Ledger, store: ImageStore) -> None:
    """Between the look and the deletion its person may have made it a favourite."""
    kept, other = made(ledger, store, 3 * DAY), made(ledger, store, 3 * DAY)
    waiting = made(ledger, store, 3 * DAY, reply_to=TO)
    before = datetime.now(UTC) - DAY
    named = [number for number, _ in ledger.archive.oldest(0, before)]
    assert len(named) == 2
    ledger.archive.favour(kept.id, True)
    assert ledger.archive.expire([*named, named[-1] + 1], before) == 1
    assert left(ledger) == {kept.id, waiting.id} != {other.id}


def test_size_takes_nothing_that_ended_within_a_day(
    ledger: Ledger, store: ImageStore, caplog: pytest.LogCaptureFixture
) -> None:
    for hours in (72, 48, 25):
        made(ledger, store, hours * HOUR)
    young = [made(ledger, store, hours * HOUR) for hours in (23, 0)]
    with caplog.at_level(logging.WARNING, "calotype.shrinking"):
        by_size(ledger, store).retention()
    assert left(ledger) == {job.id for job in young}
    assert "over the limit: favourites, uploads, jobs that run" in caplog.text
    ended(ledger, young[0], 25 * HOUR)
    assert by_size(ledger, store).retention().jobs == 1
    assert left(ledger) == {young[1].id}


def test_size_takes_the_oldest_and_no_more_than_it_must(
    ledger: Ledger, store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shrinking, "_STEP", 1)
    favourite, _, *rest = [made(ledger, store, days * DAY) for days in (9, 8, 7, 6, 5)]
    ledger.archive.favour(favourite.id, True)
    assert by_size(ledger, store, pictures=4).retention().jobs == 1
    assert left(ledger) == {favourite.id, *(job.id for job in rest)}


def test_deliveries_are_given_up_after_a_week(
    ledger: Ledger, store: ImageStore, caplog: pytest.LogCaptureFixture
) -> None:
    late, young = (made(ledger, store, days * DAY, reply_to=TO) for days in (8, 6))
    tried = made(ledger, store, 8 * DAY, reply_to=TO)
    of = {each.job.id: each.id for each in ledger.deliveries("discord")}
    ledger.delivery_failed(of[tried.id], "away", datetime.now(UTC) + DAY)
    with caplog.at_level(logging.WARNING, "calotype.chores"):
        Chores(ledger, store, retention_days=0).retention()
        Chores(ledger, store, retention_days=0).retention()
    assert [each.job.id for each in ledger.deliveries("discord")] == [young.id]
    assert left(ledger) == {late.id, young.id, tried.id}, "the pictures stay"
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert all("its delivery is given up, 7 days after its end" in line for line in told)
    assert {late.id, tried.id} == {line.split()[1].rstrip(":") for line in told}


def test_people_who_must_stay_do_not_hold_up_those_who_go(
    ledger: Ledger, store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bare rows of the banned, say, used to be looked at again and again, and nobody behind them."""
    monkeypatch.setattr(chores, "_BATCH", 2)
    people = [Person(f"web:{number}") for number in range(7)]
    for place, person in enumerate(people):
        made(ledger, store, DAY, who=person)
        if place < 3:
            ledger.people.ban(person.key, "spam", "operator")
        ledger.archive.erase_some(person.key)
    for change in (update(persons).values(spent_on="2020-01-01", name=""), update(clock).values(vtime=1000.0)):
        ledger._database.write(lambda connection, change=change: connection.execute(change))
    Chores(ledger, store, retention_days=0).retention()
    here = ledger._database.read(lambda connection: set(connection.scalars(select(persons.c.key))))
    assert here == {person.key for person in people[:3]}
