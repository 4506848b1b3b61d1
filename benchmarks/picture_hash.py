"""What the hash of blocked pictures takes for the same: where :data:`calotype.moderation.hashing.NEAR` comes from.

    python benchmarks/picture_hash.py [--pictures FOLDER]

Draws 4 pictures each of 100 concepts with the embedded model (or takes those that a run left in FOLDER) and prints in
how many bits of 64 the hashes differ: of a picture and an altered copy of it (what should be found), of two pictures
of one concept, and of pictures of different concepts (what should not).
"""

from __future__ import annotations

import argparse
import asyncio
import io
import itertools
import json
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from calotype.bootstrap import catalog_for, open_service
from calotype.checkpoint import EMBEDDED
from calotype.config import Settings
from calotype.home import Home
from calotype.moderation.hashing import NEAR, distance, perceptual_hash
from calotype.person import OPERATOR
from calotype.request import Request

CONCEPTS, EACH = 100, 4


async def draw(folder: Path) -> None:
    """``concept-number.png``, seeds 1 to 4 of each concept."""
    concepts = list(json.loads((EMBEDDED / "vocabulary.json").read_text("utf-8"))["concepts"])
    chosen = concepts[:: max(1, len(concepts) // CONCEPTS)][:CONCEPTS]
    with tempfile.TemporaryDirectory() as place:
        settings, home = Settings.load(home=Path(place)), Home(Path(place))
        home.acquire()
        async with open_service(settings, home, catalog_for(settings)) as studio:
            for start in range(0, len(chosen), 8):
                jobs = [
                    (concept, await studio.submit(Request(prompt=concept, seed=1, images=EACH), OPERATOR))
                    for concept in chosen[start : start + 8]
                ]
                for concept, job in jobs:
                    for picture in (await studio.wait(job.id)).pictures:
                        file = folder / f"{concept}-{picture.index}.png"
                        file.write_bytes(studio.picture_path(picture.sha256).read_bytes())
        home.release()


def jpeg(quality: int) -> Callable[[Image.Image], Image.Image]:
    def change(image: Image.Image) -> Image.Image:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality)
        return Image.open(buffer).convert("RGB")

    return change


def cropped(share: float) -> Callable[[Image.Image], Image.Image]:
    def change(image: Image.Image) -> Image.Image:
        x, y = (round(side * share) for side in image.size)
        return image.crop((x, y, image.width - x, image.height - y))

    return change


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "half the size": lambda image: image.resize((image.width // 2, image.height // 2), Image.Resampling.BILINEAR),
    "three times the size": lambda image: image.resize((image.width * 3, image.height * 3), Image.Resampling.BICUBIC),
    "JPEG of quality 75": jpeg(75),
    "JPEG of quality 30": jpeg(30),
    "a fifth brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "a fifth darker": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "half the colour": lambda image: ImageEnhance.Color(image).enhance(0.5),
    "1 % cut off each side": cropped(0.01),
    "2 % cut off each side": cropped(0.02),
    "4 % cut off each side": cropped(0.04),
    "half the size, cut 1 %, JPEG 60": lambda image: jpeg(60)(
        cropped(0.01)(image).resize((image.width // 2, image.height // 2))
    ),
}


def show(what: str, distances: Iterable[int]) -> None:
    found = np.array(list(distances))
    taken = [f"{100 * (found <= limit).mean():8.3f}" for limit in (4, 6, NEAR, 10, 12)]
    print(f"{what:34} {len(found):7} {int(np.median(found)):7} {' '.join(taken)}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=Path)
    folder = parser.parse_args().pictures or Path(tempfile.mkdtemp(prefix="calotype-hashes-"))
    folder.mkdir(exist_ok=True)
    if not list(folder.glob("*.png")):
        asyncio.run(draw(folder))
    pictures = {file.stem: Image.open(file).convert("RGB") for file in sorted(folder.glob("*.png"))}
    hashes = {name: found for name, image in pictures.items() if (found := perceptual_hash(image))}
    print(f"{len(hashes)} of {len(pictures)} pictures in {folder} have a hash; taken for the same, in %, by limit")
    print(f"{'':34} {'pairs':>7} {'median':>7} {' '.join(f'<= {limit:5}' for limit in (4, 6, NEAR, 10, 12))}")
    for name, change in CHANGES.items():
        altered = {key: perceptual_hash(change(pictures[key])) for key in hashes}
        show(name, (distance(hashes[key], found) if found else 64 for key, found in altered.items()))
    pairs = list(itertools.combinations(hashes, 2))
    same = [(a, b) for a, b in pairs if a.rpartition("-")[0] == b.rpartition("-")[0]]
    show("another seed of the same prompt", (distance(hashes[a], hashes[b]) for a, b in same))
    others = [(a, b) for a, b in pairs if a.rpartition("-")[0] != b.rpartition("-")[0]]
    show("another prompt", (distance(hashes[a], hashes[b]) for a, b in others))


if __name__ == "__main__":
    main()
