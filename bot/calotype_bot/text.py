"""People's words, made safe to show: nothing hidden in them, no markdown, never longer than Discord takes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from calotype.errors import Problem

PROMPT_SHOWN: Final = 1000
"""Characters of a prompt that a message shows. Escaping at most doubles them, and a message holds 4,000 in all."""
_JOINERS: Final = "\u200c\u200d"
_BLANK_LETTERS: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and symbols by their category, but nothing is drawn for them."""
_FIELDS: Final = {
    "negative_prompt": "negative",
    "init_image": "picture to start from",
    "strength": "how much to change",
    "picture": "which picture",
}
"""Fields that the command or a form calls by another name."""
_PUNCTUATION: Final = re.compile(r"([!#$%&()*+\-./:;<=>?@\[\\\]^_`{|}~])")


def visible(text: str) -> str:
    """On one line, with every character that cannot be seen shown by its number.

    A joiner between two characters beyond ASCII stays: emoji, Persian and Indic scripts are written with it.
    """
    shown = []
    for place, char in enumerate(text):
        if char.isspace():
            shown.append(" ")
        elif char in _JOINERS and _joins(text, place):
            shown.append(char)
        elif char in _BLANK_LETTERS or unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn"):
            shown.append(f"⟨U+{ord(char):04X}⟩")
        else:
            shown.append(char)
    return " ".join("".join(shown).split())


def _joins(text: str, place: int) -> bool:
    return 0 < place < len(text) - 1 and all(
        ord(text[beside]) > 127 and unicodedata.category(text[beside]) != "Cf" for beside in (place - 1, place + 1)
    )


def cap(text: str, limit: int) -> str:
    """The text, cut with an ellipsis if it is longer than ``limit`` characters."""
    return text if len(text) <= limit else f"{text[: limit - 1].rstrip()}…"


def escape(text: str) -> str:
    """Text that Discord shows as it is: neither markdown, mention, custom emoji nor link.

    Discord takes a backslash before any ASCII punctuation, so every one gets it: no list to keep up with.
    """
    return _PUNCTUATION.sub(r"\\\1", text)


def plain(text: str, limit: int = PROMPT_SHOWN) -> str:
    """Somebody's words as a message may show them."""
    return escape(cap(visible(text), limit))


def problems(found: Iterable[Problem]) -> str:
    """What is wrong with a request, a line each, for the person who made it."""
    lines = [
        f"• **{plain(_FIELDS.get(problem.field, problem.field), 60)}**: {plain(problem.message, 300)}"
        for problem in found
    ]
    more = f"\n… and {len(lines) - 5} more" if len(lines) > 5 else ""
    return "Nothing was queued. Please change this and try again:\n" + cap("\n".join(lines[:5]), 1700) + more
