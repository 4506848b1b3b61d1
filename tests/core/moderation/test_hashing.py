"""Pictures that look alike are near, others are not."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from calotype.moderation.hashing import NEAR, distance, is_hash, perceptual_hash


def photo(seed: int = 0, side: int = 256) -> Image.Image:
    """Soft shapes of many sizes over a slope, as photographs have them."""
    chance = np.random.default_rng(seed)
    image = Image.fromarray(np.tile(np.linspace(40, 200, side, dtype=np.uint8), (side, 1))).convert("RGB")
    draw = ImageDraw.Draw(image)
    for _ in range(40):
        x, y, r = (int(value) for value in chance.integers(0, side, 3))
        colour = tuple(int(value) for value in chance.integers(0, 256, 3))
        draw.ellipse((x - r // 3, y - r // 3, x + r // 3, y + r // 3), fill=colour)
    return image.filter(ImageFilter.GaussianBlur(1.5))


def hashed(image: Image.Image) -> str:
    found = perceptual_hash(image)
    assert found is not None
    return found


def jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=40)
    return Image.open(buffer).convert("RGB")


def _marked(image: Image.Image) -> Image.Image:
    copy = image.copy()
    ImageDraw.Draw(copy).text((200, 240), "by me", fill="white")
    return copy


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "smaller": lambda image: image.resize((100, 100)),
    "larger": lambda image: image.resize((900, 900)),
    "stretched": lambda image: image.resize((400, 256)),
    "JPEG": jpeg,
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "without colour": lambda image: image.convert("L").convert("RGB"),
    "cut by 1 %": lambda image: image.crop((3, 3, 253, 253)),
    "marked": _marked,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("seed", range(6))
def test_altered_copies_are_near(change: str, seed: int) -> None:
    image = photo(seed)
    assert distance(hashed(image), hashed(CHANGES[change](image))) <= NEAR


def test_other_pictures_are_not() -> None:
    hashes = [hashed(photo(seed)) for seed in range(40)]
    distances = [distance(a, b) for place, a in enumerate(hashes) for b in hashes[:place]]
    assert min(distances) > NEAR
    assert 24 < np.mean(distances) < 40, "about half of the bits"


def test_it_is_64_bits_in_hex_of_which_half_are_set() -> None:
    found = hashed(photo())
    assert is_hash(found)
    assert int(found, 16).bit_count() == 32
    assert found == hashed(photo()), "the same each time"


@pytest.mark.parametrize("colour", ["white", "black", (127, 3, 90)])
def test_a_picture_of_one_colour_has_none(colour: str | tuple[int, int, int]) -> None:
    assert perceptual_hash(Image.new("RGB", (64, 64), colour)) is None
    almost = Image.new("RGB", (64, 64), colour)
    almost.putpixel((3, 3), (128, 128, 128))
    assert perceptual_hash(almost) is None, "nor one with a speck"


@pytest.mark.parametrize("text", ["", "0" * 15, "0" * 17, "g" * 16, "ABCDEF0123456789", "0x12345678901234", "１" * 16])
def test_what_is_no_hash(text: str) -> None:
    assert not is_hash(text)


def test_distance() -> None:
    assert distance("0" * 16, "f" * 16) == 64
    assert distance("0" * 16, "0" * 15 + "5") == 2
