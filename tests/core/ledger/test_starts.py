"""Pictures to start from: whose they are, and for how long they are kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from calotype.errors import BadRequest
from calotype.job import Job, Picture
from calotype.ledger import Ledger
from calotype.person import OPERATOR, Person
from calotype.request import Request

ANN, BEN = Person("web:ann", "Ann"), Person("discord:2", "Ben")
DRAWN, BROUGHT, UNKNOWN = "a" * 64, "b" * 64, "c" * 64
LATER = timedelta(days=1)


def drawn(ledger: Ledger, person: Person, sha256: str) -> Job:
    ledger.submit(person, Request(prompt="cat", seed=7), cost=1.0)
    (job,) = ledger.claim()
    assert ledger.finish(job.id, job.epoch, [Picture(0, 7, sha256, 64, 64)], {})
    return job


def start(ledger: Ledger, person: Person, sha256: str, key: str | None = None, mask: str | None = None) -> Job:
    request = Request(prompt="tiger", seed=7, init_image=sha256, strength=0.5, mask=mask)
    return ledger.submit(person, request, cost=1.0, key=key)


def test_ones_own_pictures_and_nobody_elses(ledger: Ledger) -> None:
    drawn(ledger, ANN, DRAWN)
    ledger.take_in(ANN.key, BROUGHT)
    for sha256 in (DRAWN, BROUGHT):
        assert start(ledger, ANN, sha256).request.init_image == sha256
        assert start(ledger, OPERATOR, sha256)
    before = ledger.history(None)
    said = set()
    for sha256 in (DRAWN, BROUGHT, UNKNOWN):
        with pytest.raises(BadRequest) as caught:
            start(ledger, BEN, sha256)
        (problem,) = caught.value.problems
        assert problem.field == "init_image"
        said.add(problem.message.replace(sha256[:12], ""))
    assert len(said) == 1, "a foreign picture and one that never was are told apart"
    with pytest.raises(BadRequest):
        start(ledger, OPERATOR, UNKNOWN)
    assert ledger.history(None) == before


def test_a_refused_start_leaves_no_person_behind(ledger: Ledger) -> None:
    with pytest.raises(BadRequest):
        start(ledger, BEN, UNKNOWN)
    with pytest.raises(BadRequest):
        start(ledger, BEN, UNKNOWN, key="k")
    assert ledger.history(BEN.key) == []


def test_two_people_who_brought_the_same_file(ledger: Ledger) -> None:
    for person in (ANN, BEN, ANN):
        ledger.take_in(person.key, BROUGHT)
    assert (ledger.uploads(ANN.key), ledger.uploads(BEN.key)) == (1, 1)
    assert start(ledger, ANN, BROUGHT)
    assert start(ledger, BEN, BROUGHT)
    assert ledger.forget_uploads(datetime.now(UTC) - LATER) == 0
    assert ledger.forget_uploads(datetime.now(UTC) + LATER) == 2


def test_what_a_job_starts_from_is_kept_with_the_job(ledger: Ledger) -> None:
    source = drawn(ledger, ANN, DRAWN)
    first, second = start(ledger, ANN, DRAWN), start(ledger, ANN, DRAWN)
    assert ledger.erase(source.id)
    assert ledger.unreferenced([DRAWN]) == set()
    assert start(ledger, ANN, DRAWN), "its request can be made again without the picture's own job"
    for job in (first, second, ledger.history(ANN.key)[0]):
        assert ledger.unreferenced([DRAWN]) == set()
        ledger.cancel(job.id)
        assert ledger.erase(job.id)
    assert ledger.unreferenced([DRAWN]) == {DRAWN}
    with pytest.raises(BadRequest):
        start(ledger, ANN, DRAWN)


def test_an_upload_is_kept_for_itself_until_it_is_forgotten(ledger: Ledger) -> None:
    ledger.take_in(ANN.key, BROUGHT)
    assert ledger.unreferenced([BROUGHT]) == set()
    job = start(ledger, ANN, BROUGHT)
    ledger.forget_uploads(datetime.now(UTC) + LATER)
    assert ledger.unreferenced([BROUGHT]) == set()
    ledger.cancel(job.id)
    assert ledger.expire(datetime.now(UTC) + LATER) == 1
    assert ledger.unreferenced([BROUGHT]) == {BROUGHT}


def test_bringing_it_again_keeps_it_longer(ledger: Ledger) -> None:
    ledger.take_in(ANN.key, BROUGHT)
    between = datetime.now(UTC)
    ledger.take_in(ANN.key, BROUGHT)
    assert ledger.forget_uploads(between) == 0
    assert ledger.may_use(ANN, BROUGHT)


def test_the_same_key_is_the_same_job_also_when_the_picture_is_let_go(ledger: Ledger) -> None:
    ledger.take_in(ANN.key, BROUGHT)
    job = start(ledger, ANN, BROUGHT, key="k")
    ledger.forget_uploads(datetime.now(UTC) + LATER)
    assert start(ledger, ANN, BROUGHT, key="k").id == job.id


def test_a_mask_is_ones_own_and_kept_as_the_picture_is(ledger: Ledger) -> None:
    ledger.take_in(ANN.key, BROUGHT)
    ledger.take_in(BEN.key, DRAWN)
    for person, sha256, mask, fields in (
        (ANN, BROUGHT, DRAWN, ["mask"]),
        (BEN, BROUGHT, DRAWN, ["init_image"]),
        (BEN, UNKNOWN, BROUGHT, ["init_image", "mask"]),
    ):
        with pytest.raises(BadRequest) as caught:
            start(ledger, person, sha256, mask=mask)
        assert [problem.field for problem in caught.value.problems] == fields
    assert ledger.history(None) == []
    ledger.take_in(ANN.key, DRAWN)
    job = start(ledger, ANN, BROUGHT, mask=DRAWN)
    ledger.forget_uploads(datetime.now(UTC) + LATER)
    assert ledger.unreferenced([DRAWN, BROUGHT]) == set()
    assert ledger.may_use(ANN, DRAWN)
    assert not ledger.may_use(BEN, DRAWN)
    ledger.cancel(job.id)
    assert ledger.erase(job.id)
    assert ledger.unreferenced([DRAWN, BROUGHT]) == {DRAWN, BROUGHT}
