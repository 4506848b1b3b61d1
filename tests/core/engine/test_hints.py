"""Hints by the embedded model's own text encoder, over a vocabulary of their own: new weights change nothing here."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from calotype.checkpoint import EMBEDDED, fingerprint, inspect
from calotype.engine import models
from calotype.engine.hints import CLOSE, Encode, Hints, advise, hints_of
from calotype.vocabulary import Vocabulary

CONCEPTS = {
    "cat": ["kitty"], "dog": ["puppy"], "rabbit": ["bunny"], "car": [], "airplane": ["plane"], "pizza": [],
    "hot dog": [], "house": [], "tree": [], "bicycle": [], "guitar": [], "happy face": [], "ghost": [], "rocket": [],
    "tent": [],
}  # fmt: skip
EXAMPLES = "it knows for example cat, pizza and guitar"
WORDS = ["red", "blue", "style", "with"]
VOCABULARY = Vocabulary.parse({"concepts": CONCEPTS, "words": WORDS})


@pytest.fixture(scope="module")
def encode() -> Encode:
    model = models.load(inspect(EMBEDDED), torch.device("cpu"))
    pooled = model.network.pooled()
    assert pooled is not None
    return pooled


@pytest.fixture(scope="module")
def hints(encode: Encode) -> Hints:
    return Hints(VOCABULARY, encode)


@pytest.mark.parametrize(
    ("word", "concept"),
    [("automobile", "car"), ("kitten", "cat"), ("feline", "cat"), ("hare", "rabbit"), ("forest", "tree")],
)
def test_the_closest_concept_is_told(hints: Hints, word: str, concept: str) -> None:
    assert hints.hint(f"a red {word}") == f'this model does not know "{word}"; closest known: {concept}'


def test_a_concept_is_told_by_its_name_and_found_by_its_synonyms(encode: Encode) -> None:
    vocabulary = Vocabulary.parse({"concepts": {**CONCEPTS, "tool-7": ["hammer"]}})
    name, cosine = Hints(vocabulary, encode).closest("hammer")
    assert name == "tool-7"
    assert cosine == pytest.approx(1, abs=1e-4)


@pytest.fixture(scope="module")
def noise(hints: Hints) -> list[str]:
    """Words that are like nothing, alone and side by side, for any weights."""
    words = ["xqzptv", "vroptk", "zzyx", "wqpf", "brgl", "kwjx", "mvvn", "ipsum"]
    pairs = [(a, b) for a in words for b in words if a != b]
    pair = next(p for p in pairs if all(hints.closest(text)[1] < CLOSE for text in (*p, " ".join(p))))
    return list(pair)


def test_what_is_like_nothing_gets_examples(hints: Hints, noise: list[str]) -> None:
    assert hints.hint(noise[0]) == f'this model does not know "{noise[0]}"; {EXAMPLES}'
    assert hints.hint(f"{noise[0]} and a cat") == f'this model does not know "{noise[0]}"', "a cat is known already"


def test_examples_of_the_smallest_vocabulary(encode: Encode, noise: list[str]) -> None:
    text = Hints(Vocabulary.parse({"concepts": {"cat": []}}), encode).hint(noise[0])
    assert text == f'this model does not know "{noise[0]}"; it knows for example cat'


def test_several_are_told_in_one_sentence(hints: Hints, noise: list[str]) -> None:
    text = hints.hint(f"automobile, {noise[0]}, Forest, {noise[1]}, zzzz, forest")
    start = f'this model does not know "automobile" (closest: car), "{noise[0]}", "Forest" (closest: tree) or '
    assert text == start + "2 other words"


def test_what_is_in_the_prompt_is_no_news(hints: Hints) -> None:
    assert hints.hint("forest") == 'this model does not know "forest"; closest known: tree'
    assert hints.hint("a tree in a forest") == 'this model does not know "forest"'


def test_a_describing_word_is_compared_with_nothing(hints: Hints) -> None:
    assert hints.hint("happy dog") == 'this model does not know "happy"'


def test_two_words_may_be_one_thing(hints: Hints, noise: list[str]) -> None:
    assert hints.hint(" ".join(noise)) == f'this model does not know "{" ".join(noise)}"; {EXAMPLES}'
    apart = hints.hint(f"{noise[0]}, {noise[1]}")
    assert apart == f'this model does not know "{noise[0]}" or "{noise[1]}"; {EXAMPLES}'


def test_nobody_is_compared_with_an_animal(hints: Hints) -> None:
    assert hints.hint("a woman") == f'this model does not know "woman"; {EXAMPLES}'


def test_an_emoji_is_found_by_its_name(hints: Hints) -> None:
    assert hints.hint("🚀") == 'this model does not know "🚀"; closest known: rocket'


def test_a_plural_is_told_if_and_only_if_the_encoder_does_not_read_it(hints: Hints) -> None:
    for name in CONCEPTS:
        plural = f"{name}s"
        read = hints.closest(plural)[0] == name
        assert hints.hint(plural) == (None if read else f'this model does not know "{plural}"; closest known: {name}')


known = [phrase for name, synonyms in CONCEPTS.items() for phrase in (name, *synonyms)]


@given(st.lists(st.sampled_from([*known, *WORDS, "a", "and", ","]), max_size=8))
def test_what_is_known_gives_no_hint(hints: Hints, parts: list[str]) -> None:
    assert hints.hint(" ".join(parts)) is None


@given(
    st.text(max_size=200)
    | st.lists(st.sampled_from(["wug", "cats", "🐱", "猫", "(fog:1.3)", "cat", "-"])).map(" ".join)
)
def test_any_text_gives_one_short_line_or_nothing(hints: Hints, text: str) -> None:
    hint = hints.hint(text)
    if hint is not None:
        assert len(hint.splitlines()) == 1
        assert len(hint) < 300
        assert hint.isprintable()


@pytest.mark.parametrize(
    "prompt",
    ["x" * 2000, "wug bip, " * 220, "🚀" * 2000, "猫" * 2000, " ".join(f"w{k}" for k in range(400)),
     "cats dogs trees, " * 110, ", ".join(f"{a}{b}s {b}{a}es" for a in "bcdfghjk" for b in "lmnpqrst")],
)  # fmt: skip
def test_the_work_for_one_prompt_is_bounded(encode: Encode, prompt: str) -> None:
    calls: list[Sequence[str]] = []

    def counted(phrases: Sequence[str]) -> torch.Tensor:
        calls.append(phrases)
        return encode(phrases)

    hints = Hints(VOCABULARY, counted)
    calls.clear()
    hints.hint(prompt[:2000])
    assert len(calls) <= 30  # at 1.2 ms each on one thread
    assert all(len(phrases) == 1 and len(phrases[0]) <= 60 for phrases in calls), "bits depend on no company"
    calls.clear()
    hints.hint(prompt[:2000])
    assert not calls, "the latest prompts are remembered"


def test_vectors_that_are_no_numbers_name_nothing(encode: Encode) -> None:
    hints = Hints(VOCABULARY, lambda phrases: encode(phrases) * float("nan"))
    assert hints.hint("automobile") == f'this model does not know "automobile"; {EXAMPLES}'


def test_a_hint_that_fails_is_logged_with_its_job(hints: Hints, caplog: pytest.LogCaptureFixture) -> None:
    def broken(phrases: Sequence[str]) -> torch.Tensor:
        if len(phrases) == 1:
            raise RuntimeError("no memory")
        return torch.eye(len(phrases))

    with caplog.at_level(logging.ERROR):
        assert advise(Hints(VOCABULARY, broken), "a wug", "job-17") is None
        assert hints_of(Vocabulary.parse({"concepts": {"cat": []}}), broken, "some-model") is None
    assert "job-17" in caplog.text
    assert "some-model" in caplog.text
    assert advise(None, "a wug", "job-18") is None


def test_the_vocabulary_is_no_part_of_a_models_hash(tiny_sd1: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_sd1, tmp_path / "model")
    (folder / "vocabulary.json").write_text('{"concepts": {"cat": []}}')
    info = inspect(folder)
    assert info.vocabulary is not None
    assert fingerprint(info) == fingerprint(inspect(tiny_sd1)), "it shapes no picture"
