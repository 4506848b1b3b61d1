"""Blocked words, whatever their clothes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calotype.errors import BadRequest, SetupError
from calotype.moderation.prompts import PromptReview
from calotype.moderation.words import WordList, checked_phrase, folded
from calotype.request import Request


@pytest.mark.parametrize(
    "prompt",
    [
        "a Gore scene",
        "GÖRE",
        "go\u200bre",
        "very   bad\nthing here",
        "gore_gore",
        "write c++ code",
        "a 🍆!",
        "(go)re",
        "g(ore:1.2)",
        "(bad:0.5) thing",
        r"(bad \(thing\):1.2)",
        "write (c++:1.1) code",
    ],
)
def test_blocked(prompt: str) -> None:
    with pytest.raises(BadRequest, match="prompt: holds a word") as caught:
        PromptReview(["gore", "bad thing", "c++", "🍆"]).check(Request(prompt=prompt))
    assert "gore" not in str(caught.value).lower()


@pytest.mark.parametrize("prompt", ["a category", "gorem ipsum", "bad", "thing bad", "cats"])
def test_not_blocked(prompt: str) -> None:
    PromptReview(["gore", "cat", "bad thing"]).check(Request(prompt=prompt))
    PromptReview().check(Request(prompt="gore"))


@pytest.mark.parametrize(
    "prompt",
    [
        "nude child", "a sexy schoolgirl", "naked 12 year old girl", "15yo, topless", "12-year-old in lingerie",
        "twelve year old, seductive", "aged 9, erotic", "age: 16, nsfw", "child porn", "CSAM", "lolicon", "hentai loli",
        "(nude:1.2) (child)", "nu(de) chi(ld)", "NÜDE CHILD", "n4ked ch1ld", "nаked сhild", "nude\u200b c\u00adhild",
        "nude_child", "teen, porn", "sex with a horse", "bestiality", "hentai, rape", "naked mole rat, naked child",
    ],
)  # fmt: skip
def test_what_the_bundled_list_refuses(prompt: str) -> None:
    with pytest.raises(BadRequest, match="prompt: asks for something that no service may make"):
        PromptReview().check(Request(prompt=prompt))
    PromptReview(use_bundled=False).check(Request(prompt=prompt))


@pytest.mark.parametrize(
    "prompt",
    [
        "a view of Scunthorpe", "Essex and Sussex children", "cockatoo", "young cat", "blue cat", "naked mole rat baby",
        "a child on a swing", "kids at the beach", "a 10 year old child with a kite", "nude adult woman", "sexy man",
        "nude woman, 25 years old", "a 112 year old nude statue", "1.5 years old, nude", "sextant and a child",
        "grapes", "rapeseed field", "the Rape of the Sabine Women", "mating lions", "a horse and a naked woman",
        "baby blue lingerie", "nude heels, kids shoes", "sex education for teens", "teenage mutant ninja turtles",
        "analysis of a child process", "assassin's child", "Middlesex middle school", "10 year old gin", "girl, lewd",
        "young woman, nude", "a boy and a girl", "cat aged 9", "a student, erotic", "pornographer's grave, grapevine",
    ],
)  # fmt: skip
def test_what_it_lets_pass(prompt: str) -> None:
    assert PromptReview().find(Request(prompt=prompt)) is None


@pytest.mark.parametrize(
    ("prompt", "negative", "refused"),
    [
        ("child, portrait", "(clothes:1.4), blurry", True), ("child, portrait", "Clothing", True),
        ("child, portrait", "nsfw, nude, naked", False), ("child, portrait", "bad clothes, dress", False),
        ("woman, portrait", "clothes", False), ("cat", "child, nude", False), ("nude woman", "child, underage", False),
    ],
)  # fmt: skip
def test_a_negative_prompt_is_only_asked_whom_it_undresses(prompt: str, negative: str, refused: bool) -> None:
    hit = PromptReview(["gore"]).find(Request(prompt=prompt, negative_prompt=negative))
    assert (hit is not None) == refused


def test_a_blocked_word_may_stand_in_a_negative_prompt() -> None:
    assert PromptReview(["gore"]).find(Request(prompt="cat", negative_prompt="gore")) is None


def test_what_the_operator_is_told() -> None:
    review = PromptReview(["Bad  Thing", "c++"])
    for prompt, rule in (
        ("a (bad:1.2) THING", "blocked word: Bad  Thing"),
        ("some c++", "blocked word: c++"),
        ("child porn", "sexual depiction of minors"),
        ("zoophilia", "sexual acts with animals"),
    ):
        hit = review.find(Request(prompt=prompt))
        assert hit is not None and hit.rule == rule
        assert "thing" not in hit.message.replace("something", "")


_WORDS = st.sampled_from(["cat", "bad", "thing", "c++", "🍆", "12"])
_GAPS = st.sampled_from([" ", "  ", "_", "-", ", ", "\n", ". "])


@given(st.lists(_WORDS, min_size=1, max_size=3), st.lists(st.tuples(_WORDS, _GAPS), max_size=8))
def test_a_phrase_is_found_where_its_words_follow_each_other(phrase: list[str], text: list[tuple[str, str]]) -> None:
    words = [word for word, _ in text]
    written = "".join(word.upper() + gap for word, gap in text)
    follows = any(_goes_on(phrase, words[at:]) for at in range(len(words)))
    assert (WordList([" ".join(phrase)]).find(folded(written)) is not None) == follows


def _goes_on(phrase: list[str], words: list[str], begun: bool = False) -> bool:
    """Whether the words begin with the phrase; signs may stand between, and a picture is one."""
    if not phrase:
        return True
    if not words:
        return False
    if words[0] == phrase[0] and _goes_on(phrase[1:], words[1:], True):
        return True
    return begun and words[0] == "🍆" and _goes_on(phrase, words[1:], True)


def test_more_words_come_on_top() -> None:
    review = PromptReview(["gore"], use_bundled=False).with_more(["blood"])
    assert all(review.find(Request(prompt=prompt)) for prompt in ("gore", "blood"))
    assert review.find(Request(prompt="nude child")) is None, "what was switched off stays off"


def test_a_long_prompt_is_read_in_no_time() -> None:
    review = PromptReview([f"word {number}" for number in range(1000)])
    begun = time.perf_counter()
    for prompt in ("a " * 999, "((((" * 500, "1" * 2000, "year old " * 220, "12 " * 660):
        assert review.find(Request(prompt=prompt)) is None
    assert time.perf_counter() - begun < 5


@pytest.mark.parametrize(
    ("given", "stored"),
    [("Gore", "gore"), ("  BAD\n thing ", "bad thing"), ("Görе", "gorе"), ("c++", "c++"), ("🍆", "🍆"), ("=)", "=)")],
)
def test_how_a_word_is_stored(given: str, stored: str) -> None:
    assert checked_phrase(given) == stored


@pytest.mark.parametrize("given", ["", "  ", "\u200b", "...", "-", "x" * 201])
def test_words_that_cannot_be_blocked(given: str) -> None:
    with pytest.raises(BadRequest, match="word: "):
        checked_phrase(given)


def test_list_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "blocked_words.txt"
    PromptReview.load(path).check(Request(prompt="gore"))
    path.write_text("# comment\n\ngore  # really\n", "utf-8")
    with pytest.raises(BadRequest):
        PromptReview.load(path).check(Request(prompt="gore"))
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(SetupError, match="cannot be read"):
        PromptReview.load(path)
