"""The operator's lists and the audit, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from calotype.job import Job, JobStatus, Picture
from calotype.ledger import Ledger
from calotype.ledger.audit import Entry
from calotype.ledger.blocked import Refused
from calotype.ledger.removed import REMOVED
from calotype.person import Person
from calotype.request import Request

ANN = Person("web:ann", "Ann")
HASH, OTHER = "0123456789abcdef", "fedcba9876543210"
NO = Refused(ANN.key, "refuse_picture", "a job", {"rule": "mine", "index": 1})


def actions(ledger: Ledger, **query: object) -> list[tuple[str, str, str]]:
    return [(each.actor, each.action, each.subject) for each in ledger.blocked.audit(**query)]  # type: ignore[arg-type]


def claimed(ledger: Ledger, images: int = 1) -> Job:
    ledger.submit(ANN, Request(prompt="cat", seed=7, images=images), cost=1.0, reply_to={"front_end": "web"})
    (job,) = ledger.claim()
    return job


def test_words_are_added_and_taken_out_once(ledger: Ledger) -> None:
    blocked = ledger.blocked
    assert blocked.block_word("gore", "operator")
    assert not blocked.block_word("gore", "somebody else")
    assert blocked.block_word("c++ — 🍆", "operator")
    assert [word.phrase for word in blocked.words()] == ["c++ — 🍆", "gore"]
    (gore,) = [word for word in blocked.words() if word.phrase == "gore"]
    assert gore.added_by == "operator"
    assert abs(gore.added - datetime.now(UTC)) < timedelta(minutes=5)
    assert blocked.unblock_word("gore", "boss")
    assert not blocked.unblock_word("gore", "boss")
    assert actions(ledger) == [
        ("boss", "unblock_word", "gore"),
        ("operator", "block_word", "c++ — 🍆"),
        ("operator", "block_word", "gore"),
    ]


def test_a_blocked_picture_is_noted_wherever_it_stands(ledger: Ledger) -> None:
    job = claimed(ledger)
    other = claimed(ledger)
    seen, unseen = "a" * 64, "b" * 64
    assert ledger.finish(job.id, job.epoch, [Picture(0, 7, seen, 64, 64, ("mind this",))], {})
    assert ledger.finish(other.id, other.epoch, [Picture(0, 7, seen, 64, 64), Picture(1, 8, unseen, 64, 64)], {})
    for _ in range(2):  # again changes the reason only
        assert ledger.blocked.block_picture(HASH, "unwanted", "operator", [seen]) == 2
    notes = {(j.id, p.index): p.notes for j in ledger.history(None) for p in j.pictures}
    assert notes == {(job.id, 0): ("mind this", REMOVED), (other.id, 0): (REMOVED,), (other.id, 1): ()}
    assert [(each.hash, each.reason, each.added_by) for each in ledger.blocked.pictures()] == [
        (HASH, "unwanted", "operator")
    ]
    (_, entry) = ledger.blocked.audit(subject=HASH)
    assert entry.details == {"reason": "unwanted", "files": [seen], "jobs": sorted([job.id, other.id])}
    assert ledger.blocked.unblock_picture(HASH, "operator")
    assert not ledger.blocked.unblock_picture(HASH, "operator")
    assert ledger.blocked.pictures() == []


def test_what_was_removed_is_known_also_after_it_was_allowed_again(ledger: Ledger) -> None:
    first, second, other = "a" * 64, "b" * 64, "c" * 64
    ledger.blocked.block_picture(HASH, "unwanted", "operator", [first, second])
    ledger.blocked.block_picture(OTHER, "", "operator", [second])
    ledger.blocked.unblock_picture(HASH, "operator")
    assert ledger.archive.removed([first, second, other]) == {first, second}
    assert ledger.archive.removed([]) == set()


def test_a_hash_without_a_file(ledger: Ledger) -> None:
    assert ledger.blocked.block_picture(OTHER, "", "operator") == 0
    assert [each.hash for each in ledger.blocked.pictures()] == [OTHER]


def test_the_audit_is_read_in_pages(ledger: Ledger) -> None:
    for number in range(5):
        ledger.blocked.refused(Refused(f"web:{number}", "refuse_prompt", f"web:{number}", {"rule": "x"}))
    newest = ledger.blocked.audit(limit=2)
    assert [each.actor for each in newest] == ["web:4", "web:3"]
    assert [each.actor for each in ledger.blocked.audit(before=newest[-1].id)] == ["web:2", "web:1", "web:0"]
    (one,) = ledger.blocked.audit(subject="web:2")
    assert one == Entry(one.id, one.at, "web:2", "refuse_prompt", "web:2", {"rule": "x"})
    assert one.at.tzinfo is not None


def test_a_job_of_which_some_pictures_were_refused(ledger: Ledger) -> None:
    job = claimed(ledger, images=2)
    kept = Picture(0, 7, "a" * 64, 64, 64, ("1 of 2 pictures was not given out: no",))
    assert ledger.blocked.finish(job.id, job.epoch, [kept], {"refused": [1]}, "unused", [NO])
    found = ledger.job(job.id)
    assert found is not None
    assert (found.status, found.pictures, found.record) == (JobStatus.FINISHED, (kept,), {"refused": [1]})
    assert actions(ledger) == [(ANN.key, "refuse_picture", "a job")]
    assert [each.job.id for each in ledger.deliveries("web")] == [job.id]


def test_a_job_of_which_every_picture_was_refused(ledger: Ledger) -> None:
    job = claimed(ledger)
    assert ledger.blocked.finish(job.id, job.epoch, [], {}, "the picture was not given out: no", [NO])
    found = ledger.job(job.id)
    assert found is not None
    assert (found.status, found.error) == (JobStatus.FAILED, "the picture was not given out: no")
    assert ledger.claim() == [], "it is not tried again"


@pytest.mark.parametrize(("refused", "spent"), [(True, 2.0), (False, 0.0)])
def test_what_a_review_refused_was_not_free(ledger: Ledger, refused: bool, spent: float) -> None:
    """Or the day's budget would not hold for those who try what the reviews let through."""
    job = ledger.submit(ANN, Request(prompt="cat", seed=7), cost=2.0)
    running = ledger.claim_job(job.id)
    assert running is not None
    assert ledger.people.one(ANN.key).spent == 2.0
    if refused:
        assert ledger.blocked.finish(job.id, running.epoch, [], {}, "no", [NO])
    else:
        assert ledger.fail(job.id, running.epoch, "broken", {})
    assert ledger.people.one(ANN.key).spent == spent


@pytest.mark.parametrize("kept", [[], [Picture(0, 7, "a" * 64, 64, 64)]])
def test_a_stale_end_writes_nothing(ledger: Ledger, kept: list[Picture]) -> None:
    job = claimed(ledger)
    assert not ledger.blocked.finish(job.id, job.epoch - 1, kept, {}, "no", [NO])
    assert actions(ledger) == []
    found = ledger.job(job.id)
    assert found is not None and found.status is JobStatus.RUNNING
