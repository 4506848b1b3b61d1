"""Captions: how people ask for a picture, with every word that says something about it drawn at random.

A :class:`Scene` says what is to be seen, :meth:`Captions.words` puts it into words. Scenes that are held out never
come up.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from calotype_training.concepts import ACCESSORIES, COLOURS, WEARERS, Concept, read_held_out

STYLES: Final = ("flat", "3d", "noto", "twemoji", "glossy", "pixel")
COUNTS: Final = {2: "two", 3: "three"}
SIZES: Final = {0.62: ("small", "little", "tiny"), 0.95: ("big", "large", "huge")}
"""Share of the picture's side → words."""
_FIXED: Final = frozenset(
    {"rainbow", "earth", "traffic light", "christmas tree", "money", "map", "palette", "fireworks"}
)
"""Never recoloured: their colours are what they are known by."""


@dataclass(frozen=True)
class Scene:
    """What is to be seen."""

    concept: Concept
    colour: str = ""
    background: str = ""
    accessory: str = ""
    """As ACCESSORIES says it."""
    other: Concept | None = None
    count: int = 1
    size: float = 0.0
    """Share of the side; 0 is as it comes."""
    style: str = ""
    """In words; the drawing has one in any case."""


class Captions:
    """Draws scenes and their captions."""

    def __init__(self, concepts: list[Concept]) -> None:
        self.concepts = concepts
        self.wearers = [concept for concept in concepts if concept.section in WEARERS]
        self._held_out = frozenset(read_held_out())

    def any(self, rng: random.Random) -> str:
        """A caption of a random scene."""
        return self.words(self.scene(rng), rng)

    def scene(self, rng: random.Random) -> Scene:
        """A scene that is not held out. Shares: see training/README.md."""
        while True:
            scene = self._draw(rng)
            if self.allowed(scene):
                return scene

    def allowed(self, scene: Scene) -> bool:
        """Whether training may show it."""
        name = scene.concept.name
        combinations = {f"{scene.colour} {name}", f"{name} with {scene.accessory}"}
        if scene.other is not None:
            combinations |= {f"{name} and {scene.other.name}", f"{scene.other.name} and {name}"}
        return not combinations & self._held_out

    def _draw(self, rng: random.Random) -> Scene:
        concept, style = rng.choice(self.concepts), rng.choice(STYLES) if rng.random() < 0.3 else ""
        kind = rng.random()
        if kind < 0.12:
            other = rng.choice(self.concepts)
            if other is not concept:
                return Scene(concept, other=other, style=style)
        elif kind < 0.16:
            return Scene(concept, count=rng.choice(list(COUNTS)), style=style)
        elif kind < 0.26:
            wearer = rng.choice(self.wearers)
            accessory = rng.choice(list(ACCESSORIES))
            return Scene(wearer, accessory=accessory, style=style, colour=self._colour(wearer, rng, 0.25))
        size = rng.choice(list(SIZES)) if rng.random() < 0.1 else 0.0
        background = rng.choice(COLOURS) if rng.random() < 0.14 else ""
        colour = self._colour(concept, rng, 0.2)
        if colour and colour == background:
            background = ""
        return Scene(concept, colour, background, size=size, style=style)

    @staticmethod
    def _colour(concept: Concept, rng: random.Random, share: float) -> str:
        return rng.choice(COLOURS) if concept.name not in _FIXED and rng.random() < share else ""

    def words(self, scene: Scene, rng: random.Random) -> str:
        """The scene as somebody might type it."""
        word = _said(scene.concept, rng)
        if scene.other is not None:
            text = f"{word} {rng.choice(('and', 'and', 'next to', 'and a'))} {_said(scene.other, rng)}"
        elif scene.count > 1:
            text = f"{COUNTS[scene.count]} {_plural(word)}"
        else:
            sized = next((words for share, words in SIZES.items() if share == scene.size), ("",))
            text = " ".join(part for part in (rng.choice(sized), scene.colour, word) if part)
        if scene.accessory:
            text += rng.choice((" with ", " with ", " with ", " wearing ")) + scene.accessory
        if rng.random() < 0.3 and scene.count == 1 and not text.endswith("s"):
            text = f"{'an' if text[0] in 'aeiou' else 'a'} {text}"
        text = rng.choice(("a picture of ", "a drawing of ")) + text if rng.random() < 0.03 else text
        text += " emoji" if rng.random() < 0.03 and not scene.accessory else ""
        if scene.background:
            text += rng.choice((f", {scene.background} background", f" on a {scene.background} background"))
        if scene.style:
            text += rng.choice((f", {scene.style} style", f", {scene.style} style", f" in {scene.style} style"))
        return text


def _said(concept: Concept, rng: random.Random) -> str:
    return rng.choice(concept.synonyms) if concept.synonyms and rng.random() < 0.42 else concept.name


def _plural(word: str) -> str:
    if word.endswith(("s", "fish", "sheep", "deer")):
        return word
    if word.endswith(("x", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"
