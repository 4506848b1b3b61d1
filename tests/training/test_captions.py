"""Captions say what their scene shows, and training never says what is kept from it."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calotype_training.captions import COUNTS, SIZES, STYLES, Captions, Scene, _plural
from calotype_training.concepts import ACCESSORIES, COLOURS, Concept, read_concepts, read_held_out
from calotype_training.pictures import Composer

CONCEPTS = read_concepts()
CAPTIONS = Captions(CONCEPTS)
BY_NAME = {concept.name: concept for concept in CONCEPTS}
UNSEEN = re.compile(r"\b(" + "|".join(re.escape(word) for each in CONCEPTS for word in each.unseen) + r")\b")
_SEEDS = st.integers(0, 2**64)


def _held_out(scene: Scene) -> list[str]:
    """The lines of held_out.txt that a scene would show, found without Captions' own help."""
    found = []
    for line in read_held_out():
        if " with " in line:
            name, _, accessory = line.partition(" with ")
            shown = (scene.concept.name, scene.accessory) == (name, accessory)
        elif " and " in line:
            shown = scene.other is not None and {scene.concept.name, scene.other.name} == set(line.split(" and "))
        else:
            colour, _, name = line.partition(" ")
            shown = (scene.colour, scene.concept.name) == (colour, name)
        found += [line] * shown
    return found


@given(_SEEDS)
def test_no_scene_is_held_out_and_no_caption_has_a_word_of_the_evaluation(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(60):
        scene = CAPTIONS.scene(rng)
        assert _held_out(scene) == []
        caption = CAPTIONS.words(scene, rng)
        found = UNSEEN.search(caption.replace("top hat", "hat"))  # 'big top hat' is not the circus
        assert found is None, caption


def test_what_is_held_out_would_come_up_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: few things, every second combination of them held out."""
    captions = Captions([BY_NAME[name] for name in ("cat", "rocket", "owl", "car", "tree")])
    rng = random.Random(0)
    monkeypatch.setattr(captions, "allowed", lambda _: True)
    shown = Counter(line for _ in range(20_000) for line in _held_out(captions.scene(rng)))
    assert set(shown) == {
        "blue cat", "green rocket", "yellow car", "red tree", "yellow owl", "owl with a crown", "cat with a top hat",
        "cat and rocket", "car and tree",
    }  # fmt: skip


@pytest.mark.parametrize("line", read_held_out())
def test_every_line_forbids_its_scene_whatever_else_is_in_it(line: str) -> None:
    if " with " in line:
        name, _, accessory = line.partition(" with ")
        scenes = [Scene(BY_NAME[name], accessory=accessory), Scene(BY_NAME[name], "red", accessory=accessory)]
    elif " and " in line:
        one, _, other = line.partition(" and ")
        scenes = [Scene(BY_NAME[one], other=BY_NAME[other]), Scene(BY_NAME[other], other=BY_NAME[one])]
    else:
        colour, _, name = line.partition(" ")
        scenes = [Scene(BY_NAME[name], colour), Scene(BY_NAME[name], colour, "black", size=0.62, style="flat")]
    assert [CAPTIONS.allowed(scene) for scene in scenes] == [False, False]


def _readings(scene: Scene, caption: str) -> list[str]:
    """The caption with each thing's name taken out, in every way: 'brown bear' is a name, or a brown 'bear'."""
    found = [caption]
    for concept in (scene.concept, scene.other):
        if concept is not None:
            forms = {form for word in concept.words for form in (word, _plural(word))}
            said = [re.compile(rf"\b{re.escape(form)}\b") for form in forms]
            found = [form.sub("it", rest, count=1) for rest in found for form in said if form.search(rest)]
    return found


def _fits(scene: Scene, rest: str) -> bool:
    """Whether the words beside the names say all that the scene has, and nothing else."""
    words = rest.replace(",", "").split()
    return (
        words.count("it") == (1 if scene.other is None else 2)
        and [count for count, word in COUNTS.items() if word in words] == [scene.count] * (scene.count > 1)
        and [size for size, said in SIZES.items() if {*said} & {*words}] == [scene.size] * (scene.size > 0)
        and [word for word in words if word in COLOURS] == [each for each in (scene.colour, scene.background) if each]
        and (f"{scene.background} background" in rest if scene.background else "background" not in words)
        and [each for each in ACCESSORIES if f"with {each}" in rest or f"wearing {each}" in rest]
        == [scene.accessory] * bool(scene.accessory)
        and (f"{scene.style} style" in rest if scene.style else "style" not in words)
    )


@given(_SEEDS)
def test_words_say_what_the_scene_shows(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(30):
        scene = CAPTIONS.scene(rng)
        caption = CAPTIONS.words(scene, rng)
        assert any(_fits(scene, rest) for rest in _readings(scene, caption)), (scene, caption)
        assert not scene.colour or scene.colour != scene.background


def test_words_that_do_not_fit_are_noticed() -> None:
    """The test above can fail."""
    cat, scene = BY_NAME["cat"], Scene(BY_NAME["cat"], "red", "blue", style="flat", size=0.62)
    assert _fits(scene, _readings(scene, "a tiny red cat, blue background in flat style")[0])
    for wrong in ("a red cat, blue background, flat style", "tiny blue cat, blue background, flat style",
                  "tiny red cat, flat style", "tiny red cat, blue background", "two tiny red cats, blue background, "
                  "flat style", "tiny red cat with a crown, blue background, flat style"):  # fmt: skip
        assert not any(_fits(scene, rest) for rest in _readings(scene, wrong)), wrong
    assert not _readings(Scene(cat, other=BY_NAME["owl"]), "cat and dog")


def test_everything_comes_up() -> None:
    rng = random.Random(4)
    scenes = [CAPTIONS.scene(rng) for _ in range(20_000)]
    assert {scene.concept.name for scene in scenes} == set(BY_NAME)
    assert {scene.style for scene in scenes} == {"", *STYLES}
    assert {scene.count for scene in scenes} == {1, 2, 3}
    assert {scene.size for scene in scenes} == {0.0, *SIZES}
    assert {scene.colour for scene in scenes} == {scene.background for scene in scenes} == {"", *COLOURS}
    assert {scene.accessory for scene in scenes} == {"", *ACCESSORIES}
    assert {scene.concept.section for scene in scenes if scene.accessory} == {"animals", "faces"}
    assert not [scene for scene in scenes if scene.colour and scene.concept.name in ("rainbow", "earth")]
    pairs = sum(scene.other is not None for scene in scenes)
    assert 0.10 < pairs / len(scenes) < 0.14


@pytest.mark.parametrize(
    ("one", "many"),
    [("cat", "cats"), ("fox", "foxes"), ("cherry", "cherries"), ("key", "keys"), ("fish", "fish"), ("grapes", "grapes"),
     ("peach", "peaches"), ("toothbrush", "toothbrushes")],
)  # fmt: skip
def test_plurals(one: str, many: str) -> None:
    assert _plural(one) == many


def test_articles_fit() -> None:
    rng, apple, cat = random.Random(0), Concept("apple", "food", ("apple",)), Concept("cat", "animals", ("cat",))
    texts = {Captions([apple, cat]).words(Scene(each), rng) for each in (apple, cat) for _ in range(300)}
    assert {"apple", "an apple", "cat", "a cat", "apple emoji", "a picture of a cat"} <= texts
    assert not any("a apple" in text or "an cat" in text for text in texts)


def test_the_composer_shows_portraits_with_their_own_captions(composer: Callable[..., Composer]) -> None:
    samples = [composer(seed).sample() for seed in range(400)]
    portraits = [(picture, caption) for picture, caption in samples if caption.startswith("pixel portrait")]
    assert 2 <= len(portraits) <= 40
    for picture, _ in portraits:
        assert (picture == picture[::4, ::4].repeat(4, 0).repeat(4, 1)).all()
