"""What a model was taught to paint, in words, and which words of a prompt are none of them. No torch.

A model folder may hold ``vocabulary.json``, written by whoever trained it::

    {"concepts": {"cat": ["kitty"], "hot dog": []},   names, each with the synonyms that were taught
     "words": ["red", "with", "style"]}               every other word that stood in training captions
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, model_validator

PHRASE_LIMIT: Final = 60
"""Characters of a name, synonym or word."""
PHRASES_LIMIT: Final = 20_000
"""Phrases in all. Names and synonyms are encoded when the model is loaded, about 0.2 ms each."""

# what holds an English sentence together, or asks for a picture: it names nothing that could be missing
_FILLERS: Final = frozenset(
    """a an the this that these those some any another my your his her its our their it he she they them i me you we us
    and or but as than so of in on at by to for from with without into onto over under near is are was be been being
    am has have had having do does there here very really just please can could would will like who which what where
    while picture image show draw drawing paint painting make want need looks wearing one let
    no not nor never none cannot i'm you're we're they're i've you've we've they've i'd you'd he'd she'd we'd they'd
    i'll you'll he'll she'll it'll we'll they'll isn't aren't wasn't weren't don't doesn't didn't can't couldn't won't
    wouldn't shouldn't hasn't haven't hadn't ain't im dont doesnt isnt cant wont""".split()  # noqa: SIM905
)
_IRREGULAR: Final = {
    "mice": "mouse", "geese": "goose", "feet": "foot", "teeth": "tooth", "men": "man", "women": "woman",
    "children": "child", "people": "person", "dice": "die", "oxen": "ox",
}  # fmt: skip
# (cat:1.2), [fog:0.5], <name:1>: other programs' way to say how much of something
_WEIGHT: Final = re.compile(r":\s{0,3}-?\d{1,9}(?:\.\d{1,9})?\s{0,3}(?=[)\]>])")

_Phrase = Annotated[str, Field(min_length=1, max_length=PHRASE_LIMIT)]


class _File(BaseModel):
    """``vocabulary.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    concepts: dict[_Phrase, list[_Phrase]] = Field(min_length=1)
    words: list[_Phrase] = []

    @model_validator(mode="after")
    def _not_too_many(self) -> _File:
        count = sum(1 + len(synonyms) for synonyms in self.concepts.values()) + len(self.words)
        if count > PHRASES_LIMIT:
            raise ValueError(f"it holds {count} phrases; at most {PHRASES_LIMIT}")
        return self


@dataclass(frozen=True)
class Word:
    """A word of a prompt: as it is written, and without capitals and possessive. A symbol (emoji) is one as well."""

    shown: str
    key: str
    joined: bool
    """Whether nothing but space or a hyphen stands between it and the word before, so that both may be one phrase."""
    symbol: bool = False


@dataclass(frozen=True)
class Run:
    """Words side by side that are not known as they stand."""

    words: tuple[Word, ...]
    describes: bool = False
    """Whether a concept's name follows at once: the last word then says what kind of it ("polar bear")."""
    plural_of: str | None = None
    """The concept of whose name or synonym they are the plural. Some text encoders read it, some do not."""


@dataclass(frozen=True)
class Reading:
    """A prompt against a vocabulary."""

    runs: tuple[Run, ...]
    """In the prompt's order."""
    concepts: frozenset[str]
    """The names of the concepts that are in it, in plural too."""


@dataclass(frozen=True)
class Vocabulary:
    """``vocabulary.json`` as a value."""

    concepts: tuple[tuple[str, tuple[str, ...]], ...]
    """Each name with its synonyms."""
    words: tuple[str, ...] = ()

    @classmethod
    def parse(cls, data: Mapping[str, object]) -> Vocabulary:
        """Check the JSON object. Raises :class:`pydantic.ValidationError`."""
        file = _File.model_validate(data)
        concepts = ((name, tuple(synonyms)) for name, synonyms in file.concepts.items())
        return cls(tuple(concepts), tuple(file.words))

    def read(self, prompt: str) -> Reading:
        """What of a prompt is not known as it stands. Case and possessive do not matter.

        Of several readings the one with the fewest unknown words counts, and of these the one with the longest phrases
        first.
        """
        words = list(split(prompt))
        parts = self._parted(words)
        runs: list[Run] = []
        concepts: set[str] = set()
        place, begin = 0, None
        while place < len(words):
            taken, concept = parts[place]
            if begin is not None and (taken or not words[place].joined):
                runs.append(Run(tuple(words[begin:place]), describes=bool(concept) and words[place].joined))
                begin = None
            if not taken and begin is None:
                begin = place
            if concept:
                concepts.add(concept)
                phrase = tuple(words[place : place + taken])
                if tuple(word.key for word in phrase) not in self._exact:
                    runs.append(Run(phrase, plural_of=concept))
            place += taken or 1
        if begin is not None:
            runs.append(Run(tuple(words[begin:])))
        return Reading(tuple(runs), frozenset(concepts))

    def _parted(self, words: list[Word]) -> list[tuple[int, str]]:
        """For each place what the best reading of the rest begins with: words of a known phrase, and its concept.

        0 words where it begins with one that is unknown.
        """
        unknown = [0] * (len(words) + 1)
        parts = [(0, "")] * len(words)
        for place in range(len(words) - 1, -1, -1):
            unknown[place] = unknown[place + 1] + 1
            for taken, concept in reversed(self._matches(words, place)):  # on a tie the longest one stays
                if unknown[place + taken] <= unknown[place]:
                    unknown[place], parts[place] = unknown[place + taken], (taken, concept)
        return parts

    def _matches(self, words: list[Word], place: int) -> list[tuple[int, str]]:
        """How many words from ``place`` on are a known phrase, or the plural of one, and whose: "" if no concept's.

        Every possibility, the longest first.
        """
        longest = 1
        while longest < self._longest and place + longest < len(words) and words[place + longest].joined:
            longest += 1
        keys = tuple(word.key for word in words[place : place + longest])
        found = [(count, self._concept(keys[:count])) for count in range(longest, 0, -1)]
        matches = [(count, concept) for count, concept in found if concept is not None]
        if keys[0] in _FILLERS and (not matches or matches[-1][0] > 1):
            matches.append((1, ""))
        return matches

    def _concept(self, phrase: tuple[str, ...]) -> str | None:
        """Whose name, synonym or plural of it a phrase is: "" if it is known and no concept's, None if it is not."""
        for form in forms(phrase):
            if form in self._known:
                return self._known[form]
        last = phrase[-1]  # "taxis", "emus": most words that end so are singulars, so the rest must be in the file
        return self._exact.get((*phrase[:-1], last[:-1])) if last.endswith(("is", "us")) else None

    @cached_property
    def _exact(self) -> dict[tuple[str, ...], str]:
        """Every phrase of the file, and whose it is: a concept's name, or "" for a mere word."""
        phrases = [(word, "") for word in self.words]
        phrases += [(phrase, name) for name, synonyms in self.concepts for phrase in (*synonyms, name)]
        return {tuple(word.key for word in split(phrase)): name for phrase, name in phrases}

    @cached_property
    def _known(self) -> dict[tuple[str, ...], str]:
        """The same, with the singular of what may be a plural: "cherry" is known where "cherries" is."""
        singulars = {form: name for phrase, name in self._exact.items() if phrase for form in forms(phrase)}
        return singulars | self._exact

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self._known))


def split(text: str) -> Iterator[Word]:
    """The words of a text. Letters, digits and their marks make words, of any script; an emoji is a word by itself."""
    text = _WEIGHT.sub(" ", unicodedata.normalize("NFC", text))
    gap, begin = "", None
    for place, char in enumerate(text + " "):
        kind = unicodedata.category(char)
        inside = place + 1 < len(text) and char in "'’" and begin is not None and text[place + 1].isalnum()
        if kind[0] in "LN" or (begin is not None and kind[0] == "M") or inside:
            begin = place if begin is None else begin
            continue
        if begin is not None:
            shown = text[begin:place]
            yield Word(shown, _key(shown), not gap.strip(" \t\n-_"))
            gap, begin = "", None
        if kind == "So":
            yield Word(char, char, not gap.strip(" \t\n-_"), symbol=True)
            gap = ""
        elif kind not in ("Mn", "Me", "Cf", "Sk"):  # what only colours or joins emoji is no gap
            gap += char


def _key(word: str) -> str:
    word = word.casefold().replace("’", "'").replace("ʼ", "'")
    return word.removesuffix("'s") or word


def forms(phrase: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The phrase itself, then every other whose English plural it may be."""
    *before, last = phrase
    yield phrase
    if last in _IRREGULAR:
        yield (*before, _IRREGULAR[last])
    if len(last) < 4 or not last.endswith("s") or last.endswith(("ss", "us", "is")):
        return
    yield (*before, last[:-1])
    if last.endswith("ies"):
        yield (*before, last[:-3] + "y")
    if last.endswith("ves"):
        yield (*before, last[:-3] + "f")
        yield (*before, last[:-3] + "fe")
    if last.endswith(("ses", "xes", "zes", "ches", "shes", "oes")):
        yield (*before, last[:-2])
