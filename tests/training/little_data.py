"""A small data set made in code: twelve things, three styles to train with and one for the judge, four portraits."""

from __future__ import annotations

import json
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from calotype_training.concepts import Concept
from calotype_training.packages import PACKAGES

MAGENTA = (255, 0, 255)
"""Colour of the drawings that only the judge may see."""
STYLES = ("flat", "noto", "3d", "")
CONCEPTS = [
    Concept("cat", "animals", ("cat",), ("kitty", "house cat"), ("feline",)),
    Concept("dog", "animals", ("dog",), ("puppy",), ("pooch",)),
    Concept("owl", "animals", ("owl",), (), ("night owl",)),
    Concept("robot", "faces", ("robot",), ("robot face",), ("android",)),
    Concept("sunglasses", "things", ("sunglasses",)),
    Concept("glasses", "things", ("glasses",), (), ("spectacles",)),
    Concept("crown", "things", ("crown",)),
    Concept("top hat", "things", ("top hat",)),
    Concept("graduation cap", "things", ("graduation cap",)),
    Concept("pizza", "food", ("pizza",), ("pizza slice",), ("margherita",)),
    Concept("cherry", "food", ("cherries",), ("box",), ("sour cherry",)),
    Concept("car", "travel", ("car",), ("fish",), ("sedan",)),
]
HELD_OUT = ["blue cat", "owl with a crown", "dog and pizza"]
_SHAPES = ("ellipse", "box", "triangle", "ring")


def draw(number: int, style: str) -> np.ndarray:
    """(72, 72, 4) uint8: a shape of its own for every thing, a tint of its own for every style."""
    image = Image.new("RGBA", (72, 72))
    pen = ImageDraw.Draw(image)
    red, green, blue = ((40 + 61 * number) % 200, (90 + 37 * number) % 200, (150 + 83 * number) % 200)
    shift = {"flat": 0, "noto": 20, "3d": 40, "": 0}[style]
    fill = (*MAGENTA, 255) if not style else (red + shift, green + shift, blue, 255)
    low, high = 1, 70
    match _SHAPES[number % 4]:
        case "ellipse":
            pen.ellipse((low, low + 4 * (number // 4), high, high), fill=fill)
        case "box":
            pen.rectangle((low, low + 6 * (number // 4), high, high), fill=fill)
        case "triangle":
            pen.polygon([(low, high), (high, high), (36 + number, low)], fill=fill)
        case "ring":
            pen.ellipse((low, low, high, high - 4 * (number // 4)), outline=fill, width=14)
    if style:  # eyes, off the middle: so a mirrored drawing is another one
        pen.ellipse((20, 38, 30, 48), fill=(255, 255, 255, 255))
        pen.ellipse((23, 41, 27, 45), fill=(0, 0, 0, 255))
    return np.asarray(image)


def manifest() -> dict[str, Any]:
    """What ``make dataset`` would say of it."""
    entries = [
        {"concept": concept.name, "style": style, "package": f"set-{style or 'judge'}", "emoji": concept.labels[0]}
        for concept in CONCEPTS
        for style in STYLES
        if (concept.name, style) != ("cat", "3d")  # not every set has every thing
    ]
    return {
        "packages": [asdict(package) for package in PACKAGES],
        "concepts": [asdict(concept) for concept in CONCEPTS],
        "drawings": entries,
        "portraits": [f"pixel portrait of a person with {hair} hair" for hair in ("red", "black", "gray", "blond")],
        "phrases": [f"{one} {other}" for one in ("wild", "old", "kind", "new") for other in ("tree", "boat", "cheese")],
    }


def write(path: Path, about: dict[str, Any] | None = None) -> Path:
    """The data set as a real dataset.npz; ``about`` instead of its own manifest."""
    numbers = {concept.name: number for number, concept in enumerate(CONCEPTS)}
    own = manifest()
    drawings = np.stack([draw(numbers[entry["concept"]], entry["style"]) for entry in own["drawings"]])
    portraits = np.random.default_rng(0).integers(0, 200, (4, 16, 16, 3), np.uint8)
    text = np.frombuffer(json.dumps(own if about is None else about).encode(), np.uint8)
    np.savez_compressed(path, drawings=drawings, portraits=portraits, manifest=text)
    return path


def teach(phrases: list[str], home: Path) -> torch.Tensor:
    """In place of the real teacher: a phrase's vector is the mean of its words', random but always the same."""
    words = {word for phrase in phrases for word in phrase.split()}
    table = {word: np.random.default_rng(zlib.crc32(word.encode())).normal(size=384) for word in words}
    rows = np.stack([np.mean([table[word] for word in phrase.split()], axis=0) for phrase in phrases])
    return torch.nn.functional.normalize(torch.from_numpy(rows).float(), dim=-1).half()
