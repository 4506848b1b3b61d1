"""The operator's side: what is blocked holds at once, and files go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from calotype.errors import BadRequest, NotAllowed, UnknownJob
from calotype.images.intake import encode
from calotype.images.store import ImageStore, name_of
from calotype.job import Picture
from calotype.ledger import Ledger, open_ledger
from calotype.ledger.removed import REMOVED
from calotype.moderation.office import Office, as_json, fingerprint, names_of
from calotype.person import OPERATOR, Person
from calotype.plugins.testing import picture
from calotype.request import Request

ANN = Person("web:ann", "Ann")
PNG = encode(picture(64, 64))
OTHER = encode(Image.linear_gradient("L").convert("RGB"))
PLAIN = encode(Image.new("RGB", (64, 64), "red"))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'calotype.db'}", None)
    yield ledger
    ledger.close()


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


@pytest.fixture
def changes() -> list[int]:
    return []


@pytest.fixture
def office(ledger: Ledger, store: ImageStore, changes: list[int]) -> Office:
    return Office(ledger, store, lambda: changes.append(1))


def drawn(ledger: Ledger, store: ImageStore, *pngs: bytes) -> str:
    ledger.submit(ANN, Request(prompt="cat", seed=7), cost=1.0)
    (job,) = ledger.claim()
    pictures = [Picture(index, 7, store.put(png), 64, 64) for index, png in enumerate(pngs)]
    assert ledger.finish(job.id, job.epoch, pictures, {})
    return job.id


def test_words(office: Office, ledger: Ledger, changes: list[int]) -> None:
    assert office.block_word("  Bad\nTHING ", OPERATOR)
    assert not office.block_word("bad thing", OPERATOR)
    assert [word.phrase for word in office.words(OPERATOR)] == ["bad thing"]
    assert office.unblock_word("Bad Thing", OPERATOR) == "bad thing"
    assert len(changes) == 3
    with pytest.raises(BadRequest, match="word: 'bad thing' is not among the words that were added"):
        office.unblock_word("bad thing", OPERATOR)
    with pytest.raises(BadRequest, match="word: is empty"):
        office.block_word(" ", OPERATOR)
    assert [each.action for each in office.audit(OPERATOR)] == ["unblock_word", "block_word"]


def test_a_jobs_pictures_are_blocked_and_their_files_go(
    office: Office, ledger: Ledger, store: ImageStore, changes: list[int]
) -> None:
    job_id = drawn(ledger, store, PNG, OTHER)
    twin = drawn(ledger, store, PNG)
    (blocked,) = office.block_job(job_id, 0, "  somebody's \n face ", OPERATOR)
    assert (blocked.hash, blocked.reason) == (fingerprint(picture(64, 64)), "somebody's face")
    assert not store.has(name_of(PNG))
    assert store.has(name_of(OTHER))
    assert changes == [1]
    for each, notes in ((job_id, [(REMOVED,), ()]), (twin, [(REMOVED,)])):
        job = ledger.job(each)
        assert job is not None and [p.notes for p in job.pictures] == notes
    with pytest.raises(BadRequest, match="are gone already"):
        office.block_job(twin, None, "", OPERATOR)
    assert len(office.block_job(job_id, None, "", OPERATOR)) == 1, "the one that is left"
    assert office.unblock_picture(blocked.hash, OPERATOR) == blocked.hash
    assert not store.has(name_of(PNG))


def test_a_picture_by_its_file(office: Office, ledger: Ledger, store: ImageStore) -> None:
    store.put(PNG)
    names = names_of(b"the file as it came", PNG)
    assert names == [name_of(b"the file as it came"), name_of(PNG)]
    office.block_picture(fingerprint(picture(64, 64)), names, "", OPERATOR)
    assert not store.has(name_of(PNG))
    assert names_of(PNG, PNG) == [name_of(PNG)]


def test_what_cannot_be_blocked(office: Office, ledger: Ledger, store: ImageStore, changes: list[int]) -> None:
    plain, unfinished = drawn(ledger, store, PNG, PLAIN), ledger.submit(ANN, Request(prompt="x", seed=1), cost=1.0).id
    with pytest.raises(UnknownJob):
        office.block_job("nothing", None, "", OPERATOR)
    for job_id, index, said in (
        (plain, None, "of one colour"), (plain, 7, f"job {plain} has no picture 7; it is finished"),
        (unfinished, None, "has no picture; it is queued"),
    ):  # fmt: skip
        with pytest.raises(BadRequest, match=said):
            office.block_job(job_id, index, "", OPERATOR)
    for digest, sha256s, reason, field in (
        ("xyz", [], "", "hash"), ("0" * 16, ["../etc"], "", "sha256s"), ("0" * 16, ["a" * 64] * 9, "", "sha256s"),
        ("0" * 16, [], "r" * 301, "reason"),
    ):  # fmt: skip
        with pytest.raises(BadRequest, match=f"^{field}: "):
            office.block_picture(digest, sha256s, reason, OPERATOR)
    with pytest.raises(BadRequest, match="hash: 'f' is not a blocked picture"):
        office.unblock_picture("f", OPERATOR)
    assert (office.pictures(OPERATOR), office.audit(OPERATOR), changes) == ([], [], [])
    assert store.has(name_of(PNG)), "all or none of a job"


def test_nobody_but_an_operator(office: Office) -> None:
    for attempt in (
        lambda: office.words(ANN), lambda: office.block_word("x", ANN), lambda: office.unblock_word("x", ANN),
        lambda: office.pictures(ANN), lambda: office.block_job("x", None, "", ANN),
        lambda: office.block_picture("0" * 16, [], "", ANN), lambda: office.unblock_picture("0" * 16, ANN),
        lambda: office.audit(ANN),
    ):  # fmt: skip
        with pytest.raises(NotAllowed, match="only the operator"):
            attempt()


def test_as_json(office: Office) -> None:
    office.block_word("gore", OPERATOR)
    (word,), (entry,) = office.words(OPERATOR), office.audit(OPERATOR)
    assert as_json(word) == {"phrase": "gore", "added_by": "operator", "added": word.added.isoformat()}
    assert as_json(entry)["details"] == {}
