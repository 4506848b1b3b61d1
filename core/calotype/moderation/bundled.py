"""The bundled list, ``bundled.toml``: combinations of words that are refused without an operator's doing."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from calotype.moderation.words import WordList, folded, readings, undisguised
from calotype.request import Request


@dataclass(frozen=True)
class Rule:
    """``every`` names sets of which the prompt must hold something; ``negative`` one for the negative prompt."""

    name: str
    every: Sequence[str]
    negative: str | None = None


class _Terms:
    """Words, phrases and patterns with one meaning."""

    def __init__(self, phrases: Sequence[str], patterns: Sequence[str] = ()) -> None:
        self.words = WordList(phrases)
        self._patterns = [re.compile(pattern) for pattern in patterns]

    def are_in(self, text: str) -> bool:
        return self.words.find(text) is not None or any(pattern.search(text) for pattern in self._patterns)

    def are_entries_of(self, negative: str) -> bool:
        """Whether one of them is an entry by itself, so that "bad clothes" is none."""
        entries = (entry.strip(" .") for text in readings(negative) for entry in re.split(r"[,;\n]", text))
        return any(self.words.find(entry) == entry for entry in entries if entry)


class BundledList:
    """Which rule of the bundled list a request breaks."""

    def __init__(self, terms: Mapping[str, _Terms], rules: Sequence[Rule]) -> None:
        self._terms, self._rules = terms, rules

    def find(self, request: Request) -> str | None:
        """The name of the rule that the request breaks; None if it breaks none."""
        for text in _readings(request.prompt):
            looked = self._terms["harmless"].words.without(text)
            for rule in self._rules:
                if all(self._terms[name].are_in(looked) for name in rule.every) and (
                    rule.negative is None or self._terms[rule.negative].are_entries_of(request.negative_prompt)
                ):
                    return rule.name
        return None


def _readings(prompt: str) -> list[str]:
    found: dict[str, None] = {}
    for text in readings(prompt):
        found[text] = None
        found[undisguised(text)] = None
        found[undisguised(text.replace("1", "l"))] = None
    return list(found)


@cache
def bundled() -> BundledList:
    """The list that comes with the program."""
    data = tomllib.loads(files("calotype.moderation").joinpath("bundled.toml").read_text("utf-8"))
    patterns = data["patterns"]
    terms = {
        name: _Terms([folded(word) for word in words], patterns.get(name, ())) for name, words in data["terms"].items()
    }
    rules = [Rule(rule["name"], rule["all"], rule.get("negative")) for rule in data["rules"]]
    return BundledList(terms, rules)
