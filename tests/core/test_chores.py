"""Chores: what retention takes and what it leaves."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from calotype import chores as module
from calotype.chores import Chores, Removed
from calotype.images.store import ImageStore
from calotype.job import Job, Picture
from calotype.ledger import Ledger, open_ledger
from calotype.person import Person
from calotype.request import Request

REQUEST = Request(prompt="blue cat", seed=7)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", None)
    yield ledger
    ledger.close()


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


def made(ledger: Ledger, store: ImageStore, picture: bytes, days_ago: float) -> Job:
    """A job that was finished so many days ago, with its picture."""
    ledger.submit(Person("web:ann"), REQUEST, cost=1.0)
    (job,) = ledger.claim()
    ledger.finish(job.id, job.epoch, [Picture(0, 7, put(store, picture, days_ago), 64, 64)], {})
    then = (datetime.now(UTC) - timedelta(days=days_ago)).strftime("%Y-%m-%d %H:%M:%S.%f")
    change = text("UPDATE jobs SET finished = :then WHERE id = :id")
    ledger._database.write(lambda connection: connection.execute(change, {"then": then, "id": job.id}))
    return job


def put(store: ImageStore, picture: bytes, days_ago: float) -> str:
    sha256 = store.put(picture)
    then = (datetime.now(UTC) - timedelta(days=days_ago)).timestamp()
    os.utime(store.path(sha256), (then, then))
    return sha256


def test_retention(ledger: Ledger, store: ImageStore) -> None:
    old, young = made(ledger, store, b"old", 31), made(ledger, store, b"young", 29)
    shared = made(ledger, store, b"shared", 31), made(ledger, store, b"shared", 5)
    orphan, fresh = put(store, b"orphan", 2), put(store, b"about to be recorded", 0.5)
    (store.path(orphan).parent / "half.part").write_bytes(b"")
    os.utime(store.path(orphan).parent / "half.part", (0, 0))
    chores = Chores(ledger, store, retention_days=30)
    assert chores.retention() == Removed(jobs=2, pictures=2, parts=1)
    assert {job.id for job in ledger.history(None)} == {young.id, shared[1].id}
    assert ledger.job(old.id) is None
    left = {picture.sha256 for job in ledger.history(None) for picture in job.pictures}
    assert {stored.sha256 for stored in store} == left | {fresh}
    assert chores.retention() == Removed()


def test_what_a_job_starts_from_stays_and_a_fresh_upload_too(ledger: Ledger, store: ImageStore) -> None:
    ann = Person("web:ann")
    waiting, alone, fresh, erased = (put(store, name, 2) for name in (b"waiting", b"alone", b"fresh", b"erased"))
    for sha256 in (waiting, alone, erased):
        ledger.take_in(ann.key, sha256)
    ledger._database.write(lambda c: c.execute(text("UPDATE uploads SET taken = '2000-01-01 00:00:00.000000'")))
    ledger.take_in(ann.key, fresh)
    queued, over = (
        ledger.submit(ann, REQUEST.model_copy(update={"init_image": sha256, "strength": 0.5}), cost=1.0)
        for sha256 in (waiting, erased)
    )
    ledger.cancel(over.id)
    ledger.erase(over.id)
    chores = Chores(ledger, store, retention_days=30)
    assert chores.retention() == Removed(pictures=2)
    assert {stored.sha256 for stored in store} == {waiting, fresh}
    ledger.cancel(queued.id)
    ledger.erase(queued.id)
    assert chores.retention() == Removed(pictures=1)
    assert {stored.sha256 for stored in store} == {fresh}


def test_zero_days_keep_every_job(ledger: Ledger, store: ImageStore) -> None:
    job = made(ledger, store, b"old", 4000)
    put(store, b"orphan", 2)
    assert Chores(ledger, store, retention_days=0).retention() == Removed(pictures=1)
    assert ledger.job(job.id) is not None


def test_many_jobs_go_in_batches(ledger: Ledger, store: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH", 2)
    for n in range(5):
        made(ledger, store, f"{n}".encode(), 31)
    assert Chores(ledger, store, retention_days=30).retention() == Removed(jobs=5, pictures=5)


def test_says_what_it_removed(ledger: Ledger, store: ImageStore, caplog: pytest.LogCaptureFixture) -> None:
    put(store, b"orphan", 2)
    with caplog.at_level(logging.INFO, "calotype.chores"):
        Chores(ledger, store, retention_days=30).retention()
        Chores(ledger, store, retention_days=30).retention()
    assert [record.getMessage() for record in caplog.records] == [
        "retention: removed 0 jobs, 1 pictures, 0 half-written files"
    ]


def test_stopped_at_work(ledger: Ledger, store: ImageStore) -> None:
    chores = Chores(ledger, store, retention_days=30)
    chores.stop()
    made(ledger, store, b"old", 31)
    assert chores.retention() == Removed()  # stopping: it leaves everything for the next start
