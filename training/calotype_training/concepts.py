"""concepts.txt: what the model is to know, by which words, from which emoji; and what it is never shown."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from calotype_training.errors import TrainingError

CONCEPTS_FILE: Final = Path(__file__).with_name("concepts.txt")
HELD_OUT_FILE: Final = Path(__file__).with_name("held_out.txt")

COLOURS: Final = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "gray")
ACCESSORIES: Final = {
    "sunglasses": "sunglasses",
    "glasses": "glasses",
    "a crown": "crown",
    "a top hat": "top hat",
    "a graduation cap": "graduation cap",
}
"""As a caption says it → the concept whose drawing is put on."""
WEARERS: Final = ("animals", "faces")


@dataclass(frozen=True)
class Concept:
    """One thing the model knows.

    ``unseen`` words never stand in a caption that the U-Net learns from: the evaluation asks for them. The text encoder
    knows them, as it knows thousands of other words.
    """

    name: str
    section: str
    labels: tuple[str, ...]
    synonyms: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """Every word it is trained with."""
        return (self.name, *self.synonyms)


def read_concepts(path: Path = CONCEPTS_FILE) -> list[Concept]:
    """The list in the file's order. Raises :class:`TrainingError` that names the line which is not one."""
    concepts: list[Concept] = []
    section = ""
    taken: dict[str, str] = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if text.startswith("["):
            section = text.strip("[]")
            continue
        name, equals, rest = text.partition(" = ")
        columns = [_listed(column) for column in rest.split("|")]
        if not equals or not columns[0] or len(columns) > 3 or not section:
            raise TrainingError(f"{path.name}, line {number}: 'name = labels | synonyms | unseen' was due: {text!r}")
        concept = Concept(name.strip(), section, *columns)
        for word in (*concept.words, *concept.unseen):
            if word in taken:
                raise TrainingError(f"{path.name}, line {number}: {word!r} belongs to {taken[word]!r} already")
            taken[word] = concept.name
        concepts.append(concept)
    return concepts


def read_held_out(path: Path = HELD_OUT_FILE) -> list[str]:
    """Captions of combinations that are kept out of training for ever."""
    lines = (line.strip() for line in path.read_text("utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
