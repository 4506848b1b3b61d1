"""Pictures as files that Discord takes: 10 MiB each and 25 MiB a request."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from calotype.job import Picture

EACH: Final = 10 * 2**20
ALL: Final = 24 * 2**20
"""Bytes of the files of one request; the rest of Discord's 25 MiB is for the words."""


@dataclass(frozen=True)
class Enclosure:
    """One picture as a file, and what its person should know about it."""

    name: str
    data: bytes
    notes: tuple[str, ...] = ()


def enclose(
    pictures: Sequence[Picture], path: Callable[[str], Path], *, each: int = EACH, in_all: int = ALL
) -> tuple[list[Enclosure], list[str]]:
    """Every picture that is still kept as a file, and notes on those that are not. Blocks: call it in a thread."""
    limit = min(each, in_all // max(1, len(pictures)))
    found, missing = [], []
    for picture in pictures:
        try:
            png = path(picture.sha256).read_bytes()
        except (KeyError, OSError):
            missing.append(f"picture {picture.index + 1} is no longer kept")
            continue
        found.append(_fitted(picture, png, limit))
    return found, missing


def _fitted(picture: Picture, png: bytes, limit: int) -> Enclosure:
    name = f"calotype-{picture.seed}"
    if len(png) <= limit:
        return Enclosure(f"{name}.png", png, picture.notes)
    data, size = _as_jpeg(png, limit)
    scaled = "" if size == (picture.width, picture.height) else f", {size[0]}x{size[1]} pixels"
    note = f"shown here as JPEG{scaled}: the PNG file has {len(png) / 2**20:.1f} MiB, Discord takes {limit / 2**20:.0f}"
    return Enclosure(f"{name}.jpg", data, (*picture.notes, note))


def _as_jpeg(png: bytes, limit: int) -> tuple[bytes, tuple[int, int]]:
    """The largest of falling qualities, then sizes, that fits."""
    from PIL import Image

    with Image.open(io.BytesIO(png)) as opened:
        image = opened.convert("RGB")
    qualities = [95, 88]
    while True:
        for quality in qualities:
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=quality, subsampling=0)
            if buffer.tell() <= limit or image.width < 16 or image.height < 16:
                return buffer.getvalue(), image.size
        image = image.resize((image.width * 3 // 4, image.height * 3 // 4), Image.Resampling.LANCZOS)
