"""A word that the model was never taught gives a confident picture of something else. A hint says so beforehand.

How close two phrases are is the cosine of the text encoder's pooled outputs (at the end token) after the mean over all
names and synonyms was subtracted: what all vectors share says nothing (Mu & Viswanath 2018, "All-but-the-Top"). The
embedded text encoder was distilled from sentence vectors, so there this is how close they are in meaning. Without the
mean "philosophy" has 0.37 to a mushroom and "train" 0.53 to a bus; with it 0.17 to its nearest and 0.39.
"""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Final

import torch
from torch.nn.functional import normalize

from calotype.vocabulary import PHRASE_LIMIT, Run, Vocabulary, Word, forms

CLOSE: Final = 0.35
"""Least cosine of a concept that is worth naming. Of 126 words tried on the embedded v0 weights (benchmarks/hints.py)
64 have one: automobile > car 0.87, shark > whale 0.53, eagle > owl 0.43, witch > ghost 0.38. About eight of these are
poor (seagull > sailboat 0.46, knife > key 0.36). Of the other 62 about twelve would have done (wolf > dog, horse > cow,
0.35 and 0.34); most are like wizard > teapot 0.27 or gibberish > bus 0.22."""
_TOLD: Final = 3
"""Unknown words that a hint tells of."""
_SHOWN: Final = 30
"""Characters of an unknown word that are shown."""
_PEOPLE: Final = frozenset(
    "man men woman women boy boys girl girls lady ladies guy guys person people human humans".split()  # noqa: SIM905
)
"""Nobody wants to be told which animal or thing they are closest to."""
_RUNS: Final = 12
"""Places of a prompt that are looked at, so that the longest takes no longer than 50 ms on one thread."""
_BATCH: Final = 64
_PROMPTS, _PHRASES = 256, 2048
"""How many of the latest are remembered."""
log = logging.getLogger(__name__)

Encode = Callable[[Sequence[str]], torch.Tensor]
"""Phrases → (N, D) pooled outputs of a text encoder, float32, on the CPU."""


class Hints:
    """The hints of one model. Names and synonyms are encoded here and now, a prompt's words when it is asked about."""

    def __init__(self, vocabulary: Vocabulary, encode: Encode) -> None:
        self._vocabulary, self._encode = vocabulary, encode
        self._names = [name for name, synonyms in vocabulary.concepts for _ in (name, *synonyms)]
        phrases = [phrase.casefold() for name, synonyms in vocabulary.concepts for phrase in (name, *synonyms)]
        # the company in a batch is always the same, so the bits are; a prompt's words are encoded one by one
        found = torch.cat([encode(phrases[at : at + _BATCH]) for at in range(0, len(phrases), _BATCH)])
        self._mean = normalize(found, dim=1).mean(dim=0)
        self._known = self._directions(found)
        self._hints = lru_cache(_PROMPTS)(self._hint)
        self._closest = lru_cache(_PHRASES)(self._measure)

    def hint(self, prompt: str) -> str | None:
        """One sentence on what the model does not know of a prompt, or None if there is nothing."""
        return self._hints(prompt)

    def closest(self, phrase: str) -> tuple[str, float]:
        """The concept that means most nearly what ``phrase`` does, and its cosine, -1 … 1. One call of the encoder."""
        return self._closest(phrase)

    def _measure(self, phrase: str) -> tuple[str, float]:
        cosines = self._known @ self._directions(self._encode([phrase]))[0]
        best = int(cosines.argmax())
        return self._names[best], float(cosines[best])

    def _directions(self, vectors: torch.Tensor) -> torch.Tensor:
        """(N, D) → (N, D) of length one, or zero where nothing is left without the mean."""
        return normalize(normalize(vectors, dim=1) - self._mean, dim=1)

    def _hint(self, prompt: str) -> str | None:
        reading = self._vocabulary.read(prompt)
        told: dict[str, Finding] = {}
        for finding in chain.from_iterable(map(self._findings, reading.runs[:_RUNS])):
            useless = finding.cosine and finding.concept in reading.concepts  # "princess in a castle": it is there
            told.setdefault(finding.key, Finding(finding.words) if useless else finding)
            if len(told) == _TOLD:
                break
        if not told:
            return None
        unknown = {word.key for run in reading.runs if run.plural_of is None for word in run.words}
        rest = unknown.difference(*({word.key for word in finding.words} for finding in told.values()))
        text = f"this model does not know {_listed(list(told.values()), len(rest))}"
        if reading.concepts or any(finding.concept for finding in told.values()):
            return text
        return f"{text}; it knows for example {_examples(self._vocabulary)}"

    def _findings(self, run: Run) -> Iterator[Finding]:
        """What is to be told of a run. Two words are one thing if together they are as close as either alone."""
        if run.plural_of is not None:
            plural = Finding(run.words, run.plural_of)
            if self.closest(plural.key)[0] != run.plural_of:  # then the encoder does not read it
                yield plural
            return
        parts = (self._look((word,)) for word in run.words[: len(run.words) - run.describes])
        if _may_be_one(run):
            together, each = self._look(run.words), list(parts)
            yield from [together] if together.cosine >= max(part.cosine for part in each) else each
            return
        yield from parts
        if run.describes:  # the thing is known; what is like "polar" would be no help with a polar bear
            yield Finding(run.words[-1:])

    def _look(self, words: tuple[Word, ...]) -> Finding:
        if words[-1].key in _PEOPLE and len(words) == 1:
            return Finding(words)
        name, cosine = max((self.closest(text) for text in _texts(words)), key=lambda found: found[1])
        return Finding(words, name, cosine) if cosine >= CLOSE else Finding(words)


@dataclass(frozen=True)
class Finding:
    """What is unknown, and the concept that is close to it, if one is."""

    words: tuple[Word, ...]
    concept: str | None = None
    cosine: float = 0.0
    """Of the concept; 0 without one."""

    @property
    def key(self) -> str:
        """The same for what differs in capitals only."""
        return " ".join(word.key for word in self.words)

    @property
    def shown(self) -> str:
        """As the prompt has it, in quotation marks."""
        text = " ".join(word.shown for word in self.words)
        return f'"{text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"}"'


def _texts(words: tuple[Word, ...]) -> list[str]:
    """What to look up: singulars too, since an encoder may not read a plural, and for an emoji its name in Unicode."""
    if words[0].symbol:
        return [unicodedata.name(words[0].key, words[0].key).lower()]
    return [" ".join(form)[:PHRASE_LIMIT] for form in forms(tuple(word.key for word in words))]


def _may_be_one(run: Run) -> bool:
    """Whether its words may be a compound ("space wizard"), or else each a thing by itself ("knight fighting")."""
    plain = not run.describes and not any(word.symbol for word in run.words)
    return plain and len(run.words) == 2 and not run.words[1].key.endswith("ing")


def _listed(findings: Sequence[Finding], rest: int) -> str:
    """The end of "this model does not know"."""
    if len(findings) == 1 and not rest:
        (only,) = findings
        return f"{only.shown}; closest known: {only.concept}" if only.concept else only.shown
    told = [f"{each.shown} (closest: {each.concept})" if each.concept else each.shown for each in findings]
    if rest:
        told.append(f"{rest} other word{'s' if rest > 1 else ''}")
    return f"{', '.join(told[:-1])} or {told[-1]}"


def _examples(vocabulary: Vocabulary) -> str:
    """Three concepts from all over the list; fewer if there are no more."""
    names = [name for name, _ in vocabulary.concepts]
    *others, last = dict.fromkeys(names[len(names) * third // 3] for third in range(3))
    return f"{', '.join(others)} and {last}" if others else last


def hints_of(vocabulary: Vocabulary | None, encode: Encode, name: str) -> Hints | None:
    """A model's hints; None if it has no vocabulary, or if they cannot be had: it paints without them."""
    if vocabulary is None:
        return None
    try:
        return Hints(vocabulary, encode)
    except Exception:
        log.exception("model %s gives no hints", name)
        return None


def advise(hints: Hints | None, prompt: str, job_id: str) -> str | None:
    """:meth:`Hints.hint`, which never fails a job: what goes wrong is in the log."""
    try:
        return hints.hint(prompt) if hints is not None else None
    except Exception:
        log.exception("job %s: no hint could be given", job_id)
        return None
