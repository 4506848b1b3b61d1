r"""How much of each word of a prompt, written as everywhere: ``(word:1.2)``, ``(word)``, ``[word]``.

``(word)`` is 1.1 times as much, ``[word]`` 1 / 1.1, ``(word:1.2)`` says how much; nesting multiplies, and ``\(`` is a
bracket that is meant. It is the notation of Automatic1111's web UI, which other programs took over. Brackets that are
not in pairs, that hold nothing, or whose number is no weight from 0 to 5 are text like any other: no prompt is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

WEIGHT_LIMIT: Final = 5.0
"""The largest weight. Above two or three a text encoder's vectors are far from anything that a model has seen."""
_MORE: Final = 1.1
_ESCAPE: Final = re.compile(r"\\(?=[()\[\]])")
_NUMBER: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]{0,9})?|\.[0-9]{1,9}")
_LIKE_A_NUMBER: Final = re.compile(r"[-+]?[0-9.]+")


class Part(NamedTuple):
    """A stretch of a prompt, without its brackets, and its weight: 1 is as it comes."""

    text: str
    weight: float


class _Pair(NamedTuple):
    """Places of a pair of brackets: the opening one, the end of the text in it, the closing one."""

    opener: int
    end: int
    closer: int
    factor: float


def parse(prompt: str) -> list[Part]:
    """The prompt's stretches of one weight each, in order; none is empty. Never raises.

    Nested weights are multiplied from the outside in, each product cut off at :data:`WEIGHT_LIMIT`.
    """
    backslashes = {found.start() for found in _ESCAPE.finditer(prompt)}
    unread, opens, closes = set(backslashes), dict[int, float](), set[int]()
    for opener, closer in _brackets(prompt, backslashes):
        pair = _pair(prompt, opener, closer)
        if pair is not None:
            opens[pair.opener] = pair.factor
            closes.add(pair.closer)
            unread.update((pair.opener, *range(pair.end, pair.closer + 1)))
    parts: list[tuple[list[str], float]] = []
    weights = [1.0]
    for place, char in enumerate(prompt):
        if place in opens:
            weights.append(min(weights[-1] * opens[place], WEIGHT_LIMIT))
        elif place in closes:
            weights.pop()
        if place not in unread:
            if not parts or parts[-1][1] != weights[-1]:
                parts.append(([], weights[-1]))
            parts[-1][0].append(char)
    return [Part("".join(chars), weight) for chars, weight in parts]


def plain(prompt: str) -> str:
    """What is left to read without weights."""
    return "".join(part.text for part in parse(prompt))


def _brackets(prompt: str, backslashes: set[int]) -> Iterator[tuple[int, int]]:
    """Places of the brackets that belong together, properly nested. The others are text."""
    waiting: list[int] = []
    for place, char in enumerate(prompt):
        if char not in "()[]" or place - 1 in backslashes:
            continue
        if char in "([":
            waiting.append(place)
            continue
        opener = "(" if char == ")" else "["
        if any(prompt[other] == opener for other in waiting):
            while prompt[waiting[-1]] != opener:  # "(a [b)": what was opened in between is never closed
                waiting.pop()
            yield waiting.pop(), place


def _pair(prompt: str, opener: int, closer: int) -> _Pair | None:
    """What a pair of brackets says; None if it is text."""
    inside, end, factor = prompt[opener + 1 : closer], closer, _MORE
    before, colon, tail = inside.rpartition(":")
    if colon and _LIKE_A_NUMBER.fullmatch(tail.strip()):
        number = tail.strip()
        if prompt[opener] == "[" or not _NUMBER.fullmatch(number) or float(number) > WEIGHT_LIMIT:
            return None
        inside, end, factor = before, opener + 1 + len(before), float(number)
    elif prompt[opener] == "[":
        factor = 1 / _MORE
    return _Pair(opener, end, closer, factor) if inside.strip() else None
