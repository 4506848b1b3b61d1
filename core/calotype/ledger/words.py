"""Words: what is found in a text, the same on every database.

Texts are split here and not by the databases' own tokenisers, which agree neither on hyphens nor on scripts. What a
database gets are finished words: letters in lower case without diacritics, and digits.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple

WORD_LIMIT: Final = 64
"""Characters of a word that count; PostgreSQL takes 2,046 bytes."""
WORDS_LIMIT: Final = 4096
"""Words of a text that count; PostgreSQL counts places up to 16,383, and there are two texts."""
_ASCII: Final = re.compile(r"[a-z0-9]+")
_QUOTES: Final = re.compile('["“”„«»]')
_LETTERS: Final = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th"}
)
"""Letters that have no canonical decomposition, as people type them without the right keyboard."""
_ALONE: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf"
    "\u4e00-\u9fff\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U0003ffff]"
)
"""Thai, Lao, Burmese, Khmer, Chinese and Japanese are written without spaces: each sign is a word, a word a phrase."""


class Term(NamedTuple):
    """Words that follow each other. ``open``: the last one may go on."""

    words: tuple[str, ...]
    open: bool = False


def split(text: str) -> list[str]:
    """The words of a text in their order."""
    if text.isascii():
        return [word[:WORD_LIMIT] for word in _ASCII.findall(text.lower())[:WORDS_LIMIT]]
    return [word[:WORD_LIMIT] for word in _split(_fold(text))][:WORDS_LIMIT]


def _fold(text: str) -> str:
    """Lower case, compatibility forms resolved, accents and points gone; vowel signs of Indic scripts stay."""
    loose = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold()).translate(_LETTERS)
    return unicodedata.normalize("NFC", "".join(sign for sign in loose if unicodedata.combining(sign) < 10))


def _split(text: str) -> Iterator[str]:
    word = ""
    for sign in text:
        kind = unicodedata.category(sign)
        alone = kind == "So" or _ALONE.match(sign) is not None  # "So": emoji and other pictures
        if kind[0] in "LNM" and not alone:
            word += sign
            continue
        if word:
            yield word
            word = ""
        if alone and kind[0] in "LNS":
            yield sign
    if word:
        yield word


def terms(query: str) -> tuple[Term, ...]:
    """What somebody looks for: every word, in any order; what stands in quotes in that order, word for word.

    The last word may be the beginning of one, unless a quote closes it. No text is wrong; one without words asks for
    nothing in particular.
    """
    found: dict[Term, None] = {}
    parts = _QUOTES.split(query)
    for place, part in enumerate(parts):
        if place % 2:  # between quotes
            found[Term(tuple(split(part)), open=place == len(parts) - 1)] = None
        else:
            words = part.split()
            for number, word in enumerate(words, start=1):
                last = place == len(parts) - 1 and number == len(words)
                found[Term(tuple(split(word)), open=last)] = None
    return tuple(term for term in found if term.words)
