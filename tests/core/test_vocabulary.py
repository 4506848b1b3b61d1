"""What of a prompt a vocabulary knows, and what it does not."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from calotype.checkpoint import EMBEDDED, inspect
from calotype.vocabulary import PHRASES_LIMIT, Vocabulary, split

KNOWN = Vocabulary.parse(
    {
        "concepts": {"cat": ["kitty"], "dog": [], "hot dog": [], "cherries": [], "bus": [], "T-shirt": [], "wolf": []},
        "words": ["red", "style", "3d", "glasses", "with"],
    }
)


def unknown(prompt: str) -> list[str]:
    return [" ".join(word.shown for word in run.words) for run in KNOWN.read(prompt).runs if run.plural_of is None]


@pytest.mark.parametrize(
    "prompt",
    [
        "", "!!! … ,", "cat", "CAT", "Kitty", "a red cat, please!", "cat's", "the cat’s", "hot dog", "Hot-Dog",
        "hot_dog", "t-shirt", "3d style", "3D-style", "glass", "cherries", "draw me a picture of a dog", "bus",
        "(cat:1.2)", "((red cat:-0.5))", "[dog:cat:0.25]", "cat" + "\u200b" + " dog",
    ],
)  # fmt: skip
def test_what_is_known(prompt: str) -> None:
    assert KNOWN.read(prompt).runs == ()


@pytest.mark.parametrize(
    ("prompt", "found"),
    [
        ("space wizard", ["space wizard"]),
        ("space, wizard", ["space", "wizard"]),
        ("hot cat", ["hot"]),
        ("hot, dog", ["hot"]),
        ("Wizard's cat with a Hat", ["Wizard's", "Hat"]),
        ("cat 🚀🐱", ["🚀 🐱"]),
        ("👍🏽 cat ❤️", ["👍", "❤"]),
        ("кошка", ["кошка"]),
        ("हिन्दी", ["हिन्दी"]),
        ("2 cats", ["2"]),
        ("cat:1.2", ["1", "2"]),
        ("class", ["class"]),
    ],
)
def test_what_is_not(prompt: str, found: list[str]) -> None:
    assert unknown(prompt) == found


@pytest.mark.parametrize(
    ("prompt", "name"),
    [("cats", "cat"), ("red Kittys", "cat"), ("hot dogs", "hot dog"), ("buses", "bus"), ("wolves", "wolf"),
     ("cherry", "cherries")],
)  # fmt: skip
def test_a_plural_is_told_apart(prompt: str, name: str) -> None:
    reading = KNOWN.read(prompt)
    assert reading.concepts == {name}
    assert [run.plural_of for run in reading.runs] == [name]


@pytest.mark.parametrize(
    "prompt",
    [
        "I'm a cat", "it's a dog", "don't draw a dog, it isn't a cat", "They’re red", "not a cat", "no dog",
        "let's draw a cat", "a cat without a dog", "I donʼt want a cat", "we'll never",
    ],
)  # fmt: skip
def test_contractions_and_negations_name_nothing(prompt: str) -> None:
    assert KNOWN.read(prompt).runs == ()


FOREIGN = Vocabulary.parse({"concepts": {"taxi": [], "sushi": [], "martini": [], "emu": [], "cactus": [], "iris": []}})


@pytest.mark.parametrize(("prompt", "name"), [(f"{name}s", name) for name in ("taxi", "sushi", "martini", "emu")])
def test_a_plural_may_end_as_singulars_do(prompt: str, name: str) -> None:
    reading = FOREIGN.read(prompt)
    assert [run.plural_of for run in reading.runs] == [name]
    assert FOREIGN.read("cactus, iris").runs == ()
    assert len(FOREIGN.read("cactu, iri, emis, taxus, tennis").runs) == 5


TEA = Vocabulary.parse(
    {"concepts": {"green tea": [], "tea pot": [], "hot dog": [], "dog house": []}, "words": ["green"]}
)


@pytest.mark.parametrize(
    ("prompt", "unknown", "concepts"),
    [
        ("green tea pot", [], {"tea pot"}),
        ("green tea", [], {"green tea"}),
        ("a green tea, pot", ["pot"], {"green tea"}),
        ("hot dog house", ["house"], {"hot dog"}),  # one is unknown either way: then the longest phrase first
        ("green tea pots", ["tea pots"], {"tea pot"}),
        ("green hot green tea pot", ["hot"], {"tea pot"}),
    ],
)
def test_the_reading_with_the_fewest_unknown_words_counts(prompt: str, unknown: list[str], concepts: set[str]) -> None:
    reading = TEA.read(prompt)
    assert [" ".join(word.shown for word in run.words) for run in reading.runs] == unknown
    assert reading.concepts == concepts


def test_a_word_right_before_a_concept_describes_it() -> None:
    assert [run.describes for run in KNOWN.read("polar cat, polar, cat, polar red cat, polar dogs").runs] == [
        True, False, False, True, False,
    ]  # fmt: skip


def test_concepts_that_are_named() -> None:
    assert KNOWN.read("kitty and a red hot dog").concepts == {"cat", "hot dog"}
    assert KNOWN.read("red style").concepts == frozenset()


@given(st.text(max_size=300) | st.text("cat's dog:1.2)( ,-’🚀", max_size=300))
def test_any_text_can_be_read(text: str) -> None:
    words = [word for run in KNOWN.read(text).runs for word in run.words]
    assert len(words) <= len(list(split(text)))
    for word in words:
        assert word.key
        assert not [char for char in word.shown if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Cs")]


phrases = [phrase for name, synonyms in KNOWN.concepts for phrase in (name, *synonyms)]


@given(st.lists(st.tuples(st.sampled_from([*phrases, *KNOWN.words, "a", "The"]), st.sampled_from([", ", " ", " & "]))))
def test_what_was_taught_is_never_unknown(parts: list[tuple[str, str]]) -> None:
    assert unknown("".join(phrase + gap for phrase, gap in parts)) == []


@pytest.mark.parametrize(
    "data",
    [
        {}, {"concepts": {}}, {"concepts": []}, {"concepts": {"cat": "kitty"}}, {"concepts": {"": []}},
        {"concepts": {"c" * 61: []}}, {"concepts": {"cat": [1]}}, {"concepts": {"cat": []}, "words": "red"},
        {"concepts": {"cat": []}, "colour": []}, {"concepts": {"cat": []}, "words": ["w"] * PHRASES_LIMIT},
    ],
)  # fmt: skip
def test_a_bad_file_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Vocabulary.parse(data)


def test_the_embedded_model_knows_its_own_examples() -> None:
    info = inspect(EMBEDDED)
    assert info.vocabulary is not None
    for example in info.examples:
        reading = info.vocabulary.read(example)
        assert reading.runs == (), example
        assert reading.concepts or "portrait" in example, example
