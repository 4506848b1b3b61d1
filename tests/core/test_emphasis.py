"""Weights of a prompt's words: as people write them, and nothing is ever wrong."""

from __future__ import annotations

import re
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calotype.emphasis import WEIGHT_LIMIT, Part, parse, plain
from calotype.request import PROMPT_LIMIT

anything = st.text(max_size=60) | st.text("ab ()[]\\:.,1205-", max_size=40)
words = st.text(st.characters(exclude_characters="()[]\\:", exclude_categories=["Cs"]), min_size=1).filter(str.strip)
factors = st.floats(0.25, 2).map(lambda number: round(number, 2))


@pytest.mark.parametrize(
    ("prompt", "parts"),
    [
        ("", []),
        ("blue cat", [("blue cat", 1)]),
        ("(blue) cat", [("blue", 1.1), (" cat", 1)]),
        ("[blue] cat", [("blue", 1 / 1.1), (" cat", 1)]),
        ("a (blue:1.3) cat", [("a ", 1), ("blue", 1.3), (" cat", 1)]),
        ("(blue: 0.5 ) cat", [("blue", 0.5), (" cat", 1)]),
        ("(blue:0), (cat:.5)", [("blue", 0), (", ", 1), ("cat", 0.5)]),
        ("((cat))", [("cat", 1.1 * 1.1)]),
        ("(a (b:2) c:0.5)", [("a ", 0.5), ("b", 1.0), (" c", 0.5)]),
        ("([cat])", [("cat", 1.1 * (1 / 1.1))]),
        ("(cat:1.0)", [("cat", 1)]),
        ("(a: b)", [("a: b", 1.1)]),
        (r"cat \(cartoon\)", [("cat (cartoon)", 1)]),
        (r"(cat \(cartoon\):1.5)", [("cat (cartoon)", 1.5)]),
        (r"\[x\] \\(y)", [(r"[x] \(y)", 1)]),
        ("C:\\cats", [("C:\\cats", 1)]),
    ],
)
def test_what_is_read(prompt: str, parts: list[tuple[str, float]]) -> None:
    assert parse(prompt) == [Part(*part) for part in parts]


@pytest.mark.parametrize(
    "prompt",
    [
        ":) (: :-( ]:", "(", ")", "a) b (c", "()", "( )", "(:1.2)", "[]", "[cat:0.5]", "[cat:dog:0.25]",
        "(cat:-1)", "(cat:5.1)", "(cat:1.2.3)", "(at 10:30)",
    ],
)  # fmt: skip
def test_what_is_no_weight_is_text(prompt: str) -> None:
    assert parse(prompt) == [Part(prompt, 1)]


def test_brackets_that_cross() -> None:
    assert parse("(a [b) c]") == [Part("a [b", 1.1), Part(" c]", 1)]


@given(anything)
def test_anything_can_be_read(prompt: str) -> None:
    parts = parse(prompt)
    assert all(part.text and 0 <= part.weight <= WEIGHT_LIMIT for part in parts)
    assert all(a.weight != b.weight for a, b in pairwise(parts))
    kept = iter(prompt)
    assert all(char in kept for char in plain(prompt)), "something was added or moved"
    assert not re.search(r"[^()\[\]\\:0-9.\s]", "".join(_lost(prompt, plain(prompt)))), "a word was lost"


def _lost(prompt: str, read: str) -> list[str]:
    """The characters that are counted less often afterwards."""
    rest = list(read)
    return [char for char in prompt if char not in rest or rest.remove(char)]  # type: ignore[func-returns-value]


@given(st.text())
def test_text_with_its_brackets_escaped_comes_back(text: str) -> None:
    parts = parse(re.sub(r"([()\[\]])", r"\\\1", text))
    assert parts == ([Part(text, 1)] if text else [])


@given(words, st.lists(factors, max_size=6))
def test_weights_multiply(word: str, numbers: list[float]) -> None:
    prompt, expected = word, 1.0
    for number in reversed(numbers):
        prompt = f"({prompt}:{number})"
    for number in numbers:
        expected = min(expected * number, WEIGHT_LIMIT)
    assert parse(prompt) == [Part(word, expected)]


def test_the_longest_prompt_takes_no_time() -> None:
    for prompt in (
        "(" * (PROMPT_LIMIT // 2) + ")" * (PROMPT_LIMIT // 2),
        "[" * 1000 + ")" * 1000,
        "(:" * 1000,
        "(a:2)" * 400,
    ):
        begun = time.perf_counter()
        parse(prompt)
        parse(f"{prompt}x" + ")" * 999)
        assert time.perf_counter() - begun < 0.5
