"""Phrases that the text encoder learns from: emoji names and tags, common words, and captions' own turns of phrase."""

from __future__ import annotations

import json
import random
from pathlib import Path

from calotype_training.concepts import ACCESSORIES, COLOURS, Concept, read_held_out

_WORDS = {"noun": 14_000, "adj": 3_000, "verb": 2_000}
"""How many of WordNet's words of each kind, the ones found most often in its tagged texts first."""


def phrases(concepts: list[Concept], emojibase: Path, wordnet: Path, seed: int = 1) -> list[str]:
    """Every phrase once, none of the combinations that are held out, the same list for the same packages."""
    rng = random.Random(seed)
    data = json.loads((emojibase / "en" / "data.json").read_text("utf-8"))
    pictured = [entry for entry in data if entry.get("group") not in (2, 9, None)]
    found = [entry["label"].lower() for entry in pictured]
    found += [str(tag).lower() for entry in pictured for tag in entry.get("tags", ())]
    words = {kind: _common(wordnet, kind, count) for kind, count in _WORDS.items()}
    found += [word for kind in words.values() for word in kind]
    nouns, adjectives = words["noun"][:6000], words["adj"][:1500]
    found += [f"{rng.choice(adjectives)} {rng.choice(nouns)}" for _ in range(6000)]
    found += [f"{rng.choice(nouns)} {rng.choice(nouns)}" for _ in range(3000)]
    known = [word for concept in concepts for word in (*concept.words, *concept.unseen)]
    found += known * 1
    found += [f"{rng.choice(COLOURS)} {rng.choice(known + nouns[:3000])}" for _ in range(8000)]
    found += [f"{rng.choice(known)} with {rng.choice(list(ACCESSORIES))}" for _ in range(2000)]
    found += [f"{rng.choice(known)} and {rng.choice(known)}" for _ in range(3000)]
    found += [
        f"{rng.choice(('a', 'the', 'a small', 'a big', 'two', 'three', 'my', 'a cute'))} {rng.choice(known)}"
        for _ in range(4000)
    ]
    held_out = _held_out(concepts)
    unique = dict.fromkeys(" ".join(phrase.split()) for phrase in found)
    return [phrase for phrase in unique if phrase and not any(held in phrase for held in held_out)]


def _held_out(concepts: list[Concept]) -> set[str]:
    """The combinations that are held out, by every word for their things; pairs in both orders."""
    known = {concept.name: (*concept.words, *concept.unseen) for concept in concepts}
    said: set[str] = set()
    for line in read_held_out():
        if " and " in line:
            one, _, other = line.partition(" and ")
            pairs = [(a, b) for a in known.get(one, (one,)) for b in known.get(other, (other,))]
            said |= {f"{a} and {b}" for a, b in pairs} | {f"{b} and {a}" for a, b in pairs}
        elif " with " in line:
            name, _, accessory = line.partition(" with ")
            said |= {f"{word} with {accessory}" for word in known.get(name, (name,))}
        else:
            colour, _, name = line.partition(" ")
            said |= {f"{colour} {word}" for word in known.get(name, (name,))}
    return said


def _common(wordnet: Path, kind: str, count: int) -> list[str]:
    """WordNet's words of one kind, most frequent first (the count of tagged senses), then in its own order."""
    frequency: dict[str, int] = {}
    number = {"noun": "1", "verb": "2", "adj": "3"}[kind]
    for line in (wordnet / "dict" / "index.sense").read_text("utf-8").splitlines():
        key, _, _, tagged = line.split()
        word, _, senses = key.partition("%")
        if senses[0] == number or (kind == "adj" and senses[0] == "5"):
            frequency[word] = frequency.get(word, 0) + int(tagged)
    plain = [word for word in frequency if word.replace("_", "").replace("-", "").isalpha() and 2 < len(word) < 18]
    plain.sort(key=lambda word: -frequency[word])
    return [word.replace("_", " ") for word in plain[:count]]
