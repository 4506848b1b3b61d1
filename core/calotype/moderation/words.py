"""Words and phrases in a prompt, whatever their case, accents, spacing or weights."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from calotype import texts
from calotype.emphasis import plain
from calotype.errors import BadRequest, SetupError

PHRASE_LIMIT: Final = 200
"""Characters of a word or phrase that an operator blocks."""

_LOOKALIKES: Final = str.maketrans("авеіјкмнорсѕтухαεικνορτυ01345@$", "abeijkmhopcstyxaeikvoptuoieasas")
"""Cyrillic and Greek letters that look like Latin ones, and digits and signs that stand for letters."""
_MIXED: Final = re.compile(r"[^\s,.;:!?()\[\]\"]+")


class WordList:
    """Finds which of some words and phrases a text holds."""

    def __init__(self, phrases: Iterable[str]) -> None:
        """A phrase matches as a whole: no letter or digit beside it, any spaces and signs between its words."""
        self._phrases = {" ".join(folded(phrase).split()): phrase for phrase in phrases if folded(phrase)}
        patterns = [r"[\W_]+".join(map(re.escape, key.split())) for key in sorted(self._phrases, key=len, reverse=True)]
        # a letter or digit beside it makes it another word; \b would never match beside 'c++' or a picture sign
        self._pattern = re.compile(rf"(?<![^\W_])(?:{'|'.join(patterns)})(?![^\W_])") if patterns else None

    def find(self, text: str) -> str | None:
        """The first of the phrases in a text that was :func:`folded`, as it was written down; None if there is none."""
        found = self._pattern.search(text) if self._pattern else None
        if found is None:
            return None
        return self._phrases.get(" ".join(re.split(r"[\s_]+", found[0])), found[0])

    def without(self, text: str) -> str:
        """The folded text with its phrases taken out."""
        return self._pattern.sub(" . ", text) if self._pattern else text


def folded(text: str) -> str:
    """Without case, accents and characters that nobody sees."""
    lower = unicodedata.normalize("NFKD", text).casefold()
    return "".join(c for c in lower if not unicodedata.combining(c) and unicodedata.category(c) != "Cf").strip()


def readings(prompt: str) -> tuple[str, ...]:
    """The prompt, folded, as it is written and as the model reads it: weights may part a word, ``(go)re``."""
    return tuple(dict.fromkeys(folded(text) for text in (prompt, plain(prompt))))


def undisguised(text: str) -> str:
    """A folded text with letters of other alphabets, and figures inside words, as the Latin letters they stand for."""

    def reading(word: re.Match[str]) -> str:
        # '12yo' and '10' are figures, 'n4ked' is a word
        return word[0].translate(_LOOKALIKES) if any(c.isalpha() for c in word[0][:1]) else word[0]

    return _MIXED.sub(reading, text)


def checked_phrase(text: str) -> str:
    """The phrase that an operator wants to block, in the form in which it is stored. Raises :class:`BadRequest`."""
    texts.check("word", text)
    phrase = " ".join(folded(text).split())
    if not phrase:
        raise BadRequest.of("word", "is empty; give a word or a phrase")
    if len(phrase) > PHRASE_LIMIT:
        raise BadRequest.of("word", f"has {len(phrase)} characters; at most {PHRASE_LIMIT}")
    if not any(unicodedata.category(c)[0] in "LNS" for c in phrase):
        raise BadRequest.of("word", f"{phrase!r} holds no letter, digit or symbol; it would match nothing sensible")
    return phrase


def read_words(path: Path) -> list[str]:
    """From a text file: one word or phrase a line, ``#`` begins a comment. No file holds nothing."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError) as error:
        # a list that cannot be read must not silently block nothing
        raise SetupError(f"{path}: the list of blocked words cannot be read: {error}") from None
    return [line for line in (line.split("#", 1)[0].strip() for line in lines) if line]
