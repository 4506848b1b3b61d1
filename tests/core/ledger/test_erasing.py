"""What erasing a person takes, on both databases, and what of others it leaves."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from calotype.erasure import erase_person
from calotype.errors import BadRequest, LimitReached
from calotype.images.store import ImageStore
from calotype.job import Job, Picture
from calotype.ledger import Ledger
from calotype.ledger.search import Filters
from calotype.ledger.tables import persons
from calotype.person import Person
from calotype.request import Request
from calotype.roles import DEFAULT_ROLES, Limits, Role

ANNA, BERT = Person("discord:1", "Anna", guild="guild:9"), Person("web:bert", "Bert", address="ab" * 16)


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


def made(
    ledger: Ledger, store: ImageStore, person: Person, prompt: str, *drawn: bytes, start: str | None = None
) -> Job:
    """A finished job with these pictures."""
    wish = Request(prompt=prompt, model="m", sampler="s", init_image=start)
    job = ledger.submit(person, wish, cost=1.0, reply_to={"front_end": "discord"})
    claimed = ledger.claim_job(job.id)
    assert claimed is not None
    pictures = [Picture(index, 1, store.put(data), 64, 64) for index, data in enumerate(drawn)]
    assert ledger.finish(job.id, claimed.epoch, pictures, {})
    return job


def fill(ledger: Ledger, store: ImageStore) -> tuple[str, list[Job]]:
    """Anna with two accounts and one of everything, and Bert who has a picture that she has too."""
    ledger.people.link(Person("web:anna"), ledger.people.link_code(ANNA).code)
    upload = store.put(b"brought by Anna")
    ledger.take_in(Person("web:anna"), upload)
    ledger.people.link_code(ANNA)
    ledger.timetable.add(ANNA, "@daily", "UTC", Request(prompt="cat"), None)
    made(ledger, store, ANNA, "secretive penguin", b"only Anna's", b"both of theirs")
    made(ledger, store, Person("web:anna"), "secretive owl", b"hers too", start=upload)
    ledger.submit(ANNA, Request(prompt="a third"), cost=1.0)
    own = [made(ledger, store, BERT, "plain penguin", b"both of theirs"), made(ledger, store, BERT, "x", b"his")]
    return upload, own


@pytest.mark.parametrize("account", ["discord:1", "web:anna"])
def test_everything_of_theirs_and_nothing_of_others(ledger: Ledger, store: ImageStore, account: str) -> None:
    upload, own = fill(ledger, store)
    before = [ledger.job(job.id) for job in own]
    his = ledger.archive.known(BERT.key)
    report = erase_person(ledger, store, account, "operator", cancel=ledger.cancel, grace=timedelta(0))
    assert report.complete, report
    assert {"jobs": 3, "uploads": 1, "scheduled_prompts": 1, "link_codes": 1}.items() <= report.rows.items()
    assert (report.files, report.shared, report.waiting) == (3, 1, 0)
    assert not store.has(upload)
    assert ledger.history("discord:1") == ledger.history("web:anna") == []
    assert ledger.archive.search("secretive", Filters()) == []
    assert [ledger.job(job.id) for job in own] == before
    assert ledger.archive.known(BERT.key) == his
    assert all(store.has(picture.sha256) for job in before if job for picture in job.pictures)
    assert len(ledger.archive.search("penguin", Filters())) == 1
    # a person who charged for nothing yet today may come again, under either account, and is new
    assert ledger.people.person_key("web:anna") == "web:anna"


def test_a_ban_stays_for_every_account(ledger: Ledger, store: ImageStore) -> None:
    fill(ledger, store)
    ledger.people.ban("web:anna", "too many owls", "operator")
    report = erase_person(ledger, store, ANNA.key, "operator", cancel=ledger.cancel, grace=timedelta(0))
    assert report.complete
    assert report.kept == {"discord:1": "the ban", "web:anna": "the ban"}
    for key in report.kept:
        known = ledger.people.one(key)
        assert (known.name, known.ban_reason, known.accounts) == ("", "too many owls", (key,))


def test_doing_it_again_completes_what_was_left(ledger: Ledger, store: ImageStore) -> None:
    fill(ledger, store)
    first = erase_person(ledger, store, ANNA.key, "operator", cancel=ledger.cancel, patience=0)
    assert (first.files, first.waiting, first.complete) == (0, 3, False)
    assert first.left["jobs"] == 0
    again = erase_person(ledger, store, ANNA.key, "operator", cancel=ledger.cancel, patience=0)
    assert again.left["persons"] == len(again.kept)


@pytest.mark.parametrize("again", ["discord:1", "web:anna"])
def test_erasing_is_no_way_to_a_new_budget(ledger: Ledger, store: ImageStore, again: str) -> None:
    """Nor to an earlier place in the queue: under none of the accounts that were one person's."""
    limited = Limits({**DEFAULT_ROLES, "member": Role(daily_budget=5.0), "visitor": Role(daily_budget=5.0)})
    ledger.people.limits = limited
    fill(ledger, store)
    ledger.submit(ANNA, Request(prompt="much"), cost=1.5)
    before = {key: ledger._database.read(vtime, "discord:1") for key in ("discord:1", "web:anna")}
    report = erase_person(ledger, store, ANNA.key, "operator", cancel=ledger.cancel, grace=timedelta(0))
    assert report.complete
    assert set(report.kept) == {"discord:1", "web:anna"}
    assert {key: ledger._database.read(vtime, key) for key in before} == before
    spent = ledger.people.one(again).spent
    assert spent > 0
    with pytest.raises(LimitReached, match="budget"):
        ledger.submit(Person(again), Request(prompt="more"), cost=5.1 - spent)
    assert ledger.people.one(again).accounts == (again,)


def vtime(connection: Connection, key: str) -> float:
    return float(connection.scalar(select(persons.c.vtime).where(persons.c.key == key)) or 0.0)


def test_a_prompt_that_was_due_brings_nobody_back(ledger: Ledger, store: ImageStore) -> None:
    fill(ledger, store)
    (prompt,) = ledger.timetable.all(ANNA.key)
    erase_person(ledger, store, ANNA.key, "operator", cancel=ledger.cancel, grace=timedelta(0))
    ledger.archive.forget_strangers()
    before = ledger.archive.left(["discord:1", "web:anna"])
    with pytest.raises(BadRequest, match="it was removed meanwhile"):  # what was read as due just before
        ledger.submit(ANNA, prompt.request, cost=1.0, key="scheduled:1:x", scheduled=prompt.id)
    assert ledger.archive.left(["discord:1", "web:anna"]) == before
    assert ledger.history(ANNA.key) == []
