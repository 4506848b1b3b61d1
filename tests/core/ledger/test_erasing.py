"""What erasing a person takes, on both databases, and what of others it leaves."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from calotype.erasure import erase_person
from calotype.images.store import ImageStore
from calotype.job import Job, Picture
from calotype.ledger import Ledger
from calotype.ledger.search import Filters
from calotype.person import Person
from calotype.request import Request

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
