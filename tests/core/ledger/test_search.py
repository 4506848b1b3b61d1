"""The search finds what it says, newest first, the same on both databases; looked at in parts or not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import update

from calotype.errors import BadRequest
from calotype.job import JobStatus, Picture
from calotype.ledger import Ledger, search_postgresql
from calotype.ledger.search import Filters
from calotype.ledger.tables import jobs
from calotype.person import Person
from calotype.request import Request

ANN, BEN = Person("discord:1", "Ann", guild="discord:g"), Person("discord:2", "Ben")


def _ask(ledger: Ledger, prompt: str, person: Person = ANN, **fields: object) -> str:
    return ledger.submit(person, Request.parse({"prompt": prompt, "model": "m", **fields}), cost=1.0).id


def _found(ledger: Ledger, words: str, filters: Filters | None = None, limit: int = 50) -> list[str]:
    return [job.id for job in ledger.archive.search(words, filters or Filters(), limit=limit)]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few jobs are looked at one by one that short histories reach the parts that follow."""
    monkeypatch.setattr(search_postgresql, "_NEWEST", 2)
    monkeypatch.setattr(search_postgresql, "_OF_PERSON", 2)


@pytest.mark.parametrize(
    ("prompt", "query"),
    [
        ("a red cat", "cat red"),
        ("a red cat", "red ca"),
        ("a red cat", '"red cat"'),
        ("a red cat", '"a red ca'),
        ("Zoë, painted", "zoe"),
        ("ÆON flux", "aeon"),
        ("赤い猫", "猫"),
        ("赤い猫", "赤い"),
        ("a 🐱 here", "🐱"),
        ("night-time", "night time"),
        ("night-time", "NIGHT-TIME"),
        ("50mm lens", "50mm"),
        ("anything", "- ? !"),
        ("anything", ""),
        ("हिन्दी", "हिन्दी"),
        ("it's OR not", "OR"),
    ],
)
def test_is_found(ledger: Ledger, prompt: str, query: str) -> None:
    wanted = _ask(ledger, prompt)
    assert wanted in _found(ledger, query)


@pytest.mark.parametrize(
    ("prompt", "query"),
    [
        ("a red cat", "red dog"),
        ("a red cat", '"cat red"'),
        ("a red cat", '"red ca" x'),
        ("a red cat", "re cat"),  # only the last word may be unfinished
        ("a red cat", '"red ca"'),
        ("concatenate", "cat"),
        ("a cat", "dog' OR 1=1 --"),
        ("a cat", 'cat"; DROP TABLE jobs; --'),
    ],
)
def test_is_not_found(ledger: Ledger, prompt: str, query: str) -> None:
    _ask(ledger, prompt)
    assert _found(ledger, query) == []


def test_no_phrase_reaches_from_the_prompt_into_the_negative_one(ledger: Ledger) -> None:
    wanted = _ask(ledger, "red", negative_prompt="cat")
    assert _found(ledger, "red cat") == [wanted]
    assert _found(ledger, '"red cat"') == []


def test_filters(ledger: Ledger, few: None) -> None:
    first = _ask(ledger, "cat", sampler="euler")
    second = _ask(ledger, "cat", BEN, sampler="heun", model="other")
    third = _ask(ledger, "cat", sampler="heun")
    ledger.cancel(third)
    assert ledger.archive.favour(first, True) is not None
    long_ago = datetime.now(UTC) - timedelta(days=40)
    cases = [
        (Filters(), [third, second, first]),
        (Filters(person="discord:1"), [third, first]),
        (Filters(person="nobody:0"), []),
        (Filters(guild="discord:g"), [third, first]),
        (Filters(model="other"), [second]),
        (Filters(sampler="heun"), [third, second]),
        (Filters(sampler="heun", person="discord:1"), [third]),
        (Filters(favourite=True), [first]),
        (Filters(favourite=False), [third, second]),
        (Filters(status=JobStatus.CANCELLED), [third]),
        (Filters(since=long_ago), [third, second, first]),
        (Filters(until=long_ago), []),
    ]
    for filters, wanted in cases:
        assert _found(ledger, "cat", filters) == wanted, filters
        assert _found(ledger, "", filters) == wanted, filters
        assert _found(ledger, "dog", filters) == []
    assert ledger.archive.favour(first, False) is not None
    assert _found(ledger, "cat", Filters(favourite=True)) == []


def test_by_date(ledger: Ledger) -> None:
    ids = [_ask(ledger, "cat") for _ in range(3)]
    start = datetime(2026, 1, 1, tzinfo=UTC)

    def at_days(connection: object) -> None:
        for day, job_id in enumerate(ids):
            moved = update(jobs).where(jobs.c.id == job_id).values(created=start + timedelta(days=day))
            connection.execute(moved)  # type: ignore[attr-defined]

    ledger._database.write(at_days)
    assert _found(ledger, "cat", Filters(since=start + timedelta(days=1))) == ids[:0:-1]
    assert _found(ledger, "cat", Filters(until=start + timedelta(days=1))) == ids[:1]
    between = Filters(since=start + timedelta(hours=1), until=start + timedelta(days=1, hours=1))
    assert _found(ledger, "cat", between) == [ids[1]]


def test_pages_go_on_where_the_one_before_ended(ledger: Ledger, few: None) -> None:
    wanted = [_ask(ledger, "cat" if number % 3 else "dog") for number in range(12)][::-1]
    for words, expected in (("", wanted), ("cat", [each for n, each in enumerate(wanted[::-1]) if n % 3][::-1])):
        seen: list[str] = []
        while page := ledger.archive.search(words, Filters(), limit=3, before=seen[-1] if seen else None):
            seen += [job.id for job in page]
        assert seen == expected


def test_what_is_erased_is_not_found(ledger: Ledger) -> None:
    job_id = _ask(ledger, "cat")
    (job,) = ledger.claim()
    assert ledger.finish(job.id, job.epoch, [Picture(0, 1, "a" * 64, 8, 8)], {})
    assert _found(ledger, "cat") == [job_id]
    assert ledger.erase(job_id)
    assert _found(ledger, "cat") == _found(ledger, "") == []


def test_too_much_to_look_for(ledger: Ledger) -> None:
    with pytest.raises(BadRequest, match="q: has 501 characters; at most 500"):
        _found(ledger, "x" * 501)


@pytest.fixture(scope="module")
def shared(emptied: object) -> Iterator[Ledger]:
    ledger = Ledger(emptied())  # type: ignore[operator]
    yield ledger
    ledger.close()


VOCABULARY = ("cat", "cats", "category", "red", "reds", "dog", "a", "été", "猫")
SENTENCE = st.lists(st.sampled_from(VOCABULARY), min_size=1, max_size=4).map(" ".join)


def _matches(prompt: str, query: list[str], phrase: bool) -> bool:
    """By the rules as the manual states them, word by word."""
    words = prompt.replace("é", "e").split()
    asked = [word.replace("é", "e") for word in query]
    if phrase:
        return any(words[at : at + len(asked)] == asked for at in range(len(words)))
    *whole, last = asked
    return all(word in words for word in whole) and any(word.startswith(last) for word in words)


@given(
    st.lists(st.tuples(SENTENCE, st.booleans()), min_size=1, max_size=8),
    st.lists(st.sampled_from([*VOCABULARY, "ca", "r", "ét"]), min_size=1, max_size=3),
    st.booleans(),
    st.booleans(),
)
@settings(max_examples=40)
def test_finds_what_the_rules_say(
    shared: Ledger, history: list[tuple[str, bool]], query: list[str], phrase: bool, mine: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_postgresql, "_NEWEST", 2)
        patch.setattr(search_postgresql, "_OF_PERSON", 2)
        asked = [(prompt, ann, _ask(shared, prompt, ANN if ann else BEN)) for prompt, ann in history]
        words = f'"{" ".join(query)}"' if phrase else " ".join(query)
        filters = Filters(person=ANN.key) if mine else Filters()
        expected = [job_id for prompt, ann, job_id in asked if _matches(prompt, query, phrase) and (ann or not mine)]
        try:
            assert _found(shared, words, filters) == expected[::-1]
        finally:
            for *_, job_id in asked:
                shared.cancel(job_id)
                shared.erase(job_id)
