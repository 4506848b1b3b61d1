"""Blocked words, whatever their clothes."""

from __future__ import annotations

from pathlib import Path

import pytest

from calotype.errors import BadRequest, SetupError
from calotype.moderation import PromptReview
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


def test_list_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "blocked_words.txt"
    PromptReview.load(path).check(Request(prompt="gore"))
    path.write_text("# comment\n\ngore  # really\n", "utf-8")
    with pytest.raises(BadRequest):
        PromptReview.load(path).check(Request(prompt="gore"))
    path.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(SetupError, match="cannot be read"):
        PromptReview.load(path)
