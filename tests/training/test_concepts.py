"""The list of concepts is whole, no word means two things, and a wrong line is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from calotype_training.captions import COUNTS, SIZES, _plural
from calotype_training.concepts import ACCESSORIES, COLOURS, WEARERS, read_concepts, read_held_out
from calotype_training.errors import TrainingError


def test_there_is_enough_to_draw_and_no_word_means_two_things() -> None:
    concepts = read_concepts()
    assert len(concepts) >= 200
    words = [word for concept in concepts for word in (*concept.words, *concept.unseen)]
    assert len(words) == len(set(words))
    assert all(concept.labels and concept.section for concept in concepts)
    assert sum(len(concept.unseen) for concept in concepts) > 100
    assert {concept.section for concept in concepts} >= set(WEARERS)
    assert set(ACCESSORIES.values()) <= {concept.name for concept in concepts}


def test_held_out_lines_are_combinations_of_what_is_known() -> None:
    names = {concept.name for concept in read_concepts()}
    lines = read_held_out()
    assert len(lines) == len(set(lines)) > 30
    for line in lines:
        if " with " in line:
            name, _, accessory = line.partition(" with ")
            assert name in names and accessory in ACCESSORIES, line
        elif " and " in line:
            one, _, other = line.partition(" and ")
            assert one in names and other in names and one != other, line
        else:
            colour, _, name = line.partition(" ")
            assert colour in COLOURS and name in names, line


def test_words_for_the_evaluation_are_not_a_colour_a_size_or_a_count_away() -> None:
    """'red fox' as a word never trained would stand in the caption of a red fox."""
    concepts = read_concepts()
    sizes = [word for words in SIZES.values() for word in words]
    said = [word for concept in concepts for word in concept.words]
    said += [f"{before} {word}" for word in said for before in (*sizes, *COLOURS)]
    said += [
        f"{before} {_plural(word)}" for concept in concepts for word in concept.words for before in COUNTS.values()
    ]
    text = " | ".join(said)
    spaced = f" {text} "
    assert [word for concept in concepts for word in concept.unseen if f" {word} " in spaced] == []


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("[animals]\ncat = cat | kitty\ndog", "line 3: 'name = labels | synonyms | unseen' was due: 'dog'"),
        ("[animals]\ncat = | kitty", "line 2: 'name = labels"),
        ("[animals]\ncat = cat | a | b | c", "line 2: 'name = labels"),
        ("cat = cat", "line 1: 'name = labels"),
        ("[animals]\n# a remark\ncat = cat | kitty\n\ndog = dog | kitty", "line 5: 'kitty' belongs to 'cat' already"),
        ("[animals]\ncat = cat\ndog = dog | | cat", "line 3: 'cat' belongs to 'cat' already"),
        ("[animals]\ncat = cat\ncat = cat face", "line 3: 'cat' belongs to 'cat' already"),
        ("[animals]\ncat = cat | kitty | kitty", "line 2: 'kitty' belongs to 'cat' already"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, lines: str, words: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(lines, "utf-8")
    with pytest.raises(TrainingError) as caught:
        read_concepts(path)
    assert str(caught.value).startswith("list.txt, ")
    assert words in str(caught.value)


def test_a_good_list_is_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text(
        "# remark\n[animals]\ncat = cat face, cat | kitty, house cat | feline\nzebra = zebra | |\n", "utf-8"
    )
    cat, zebra = read_concepts(path)
    assert (cat.name, cat.section, cat.labels) == ("cat", "animals", ("cat face", "cat"))
    assert (cat.words, cat.unseen) == (("cat", "kitty", "house cat"), ("feline",))
    assert (zebra.words, zebra.unseen) == (("zebra",), ())
