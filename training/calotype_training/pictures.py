"""Pictures for scenes: the drawings put together anew for every sample, so that no two are quite the same.

Everything is numpy and Pillow at 64 to 72 pixels, about a millisecond a picture, on one thread.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import replace
from typing import Final

import numpy as np
from PIL import Image

from calotype_training.captions import STYLES, Captions, Scene
from calotype_training.concepts import ACCESSORIES
from calotype_training.dataset import SIDE, Dataset

PIXELS: Final = 64
_PORTRAIT_SHARE: Final = 0.03
_MIRRORED: Final = 0.2
_TURNED: Final = 0.12
_FIRST: Final = 0.45
"""A concept's first drawing of a style comes in so many, the others share the rest."""
_UNNAMED: Final = {"flat": 4, "glossy": 3, "3d": 3, "noto": 2, "twemoji": 2}
"""How often a caption without a style means which. The first three are one hand's: the same outlines, shaded otherwise.
A small model that means any of six hands by a word draws their mean."""
_PALETTE: Final = {
    "red": (222, 40, 44), "orange": (245, 130, 32), "yellow": (250, 208, 44), "green": (52, 160, 72),
    "blue": (44, 104, 220), "purple": (132, 64, 184), "pink": (244, 130, 180), "brown": (122, 76, 44),
    "black": (38, 38, 42), "gray": (144, 146, 150),
}  # fmt: skip
_GROUNDS: Final = _PALETTE | {"pink": (250, 190, 215), "yellow": (255, 224, 110), "blue": (96, 160, 240)}


class Composer:
    """Draws scenes. ``rng`` gives every choice, so a seed gives the same pictures.

    ``every_drawing`` takes those in that are kept from the generator, all of them alike, for its judge.
    """

    def __init__(self, dataset: Dataset, rng: random.Random, *, every_drawing: bool = False) -> None:
        self._rng = rng
        self._drawings, self._alike = dataset.drawings, every_drawing
        self._portraits, self._portrait_captions = dataset.portraits, dataset.portrait_captions
        self.captions = Captions(dataset.concepts)
        self._by_style: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        self._styles: defaultdict[str, list[str]] = defaultdict(list)
        for number, entry in enumerate(dataset.entries):
            if entry["style"] in STYLES or every_drawing:
                self._by_style[entry["concept"], entry["style"]].append(number)
        for concept, style in self._by_style:
            self._styles[concept].append(style)

    def sample(self) -> tuple[np.ndarray, str]:
        """One training picture, (64, 64, 3) uint8, and its caption."""
        rng = self._rng
        if rng.random() < _PORTRAIT_SHARE:
            number = rng.randrange(len(self._portraits))
            return self._portraits[number].repeat(4, 0).repeat(4, 1), self._portrait_captions[number]
        scene = self.captions.scene(rng)
        scene = self._possible(scene)
        return self.draw(scene), self.captions.words(scene, rng)

    def draw(self, scene: Scene) -> np.ndarray:
        """The picture of a scene, (64, 64, 3) uint8."""
        rng = self._rng
        style = self._style(scene)
        ground = np.array(_GROUNDS[scene.background] if scene.background else (255, 255, 255), np.float32)
        canvas = np.broadcast_to(ground, (PIXELS, PIXELS, 3)).astype(np.float32)
        if scene.other is not None:
            side = rng.randint(31, 34)
            for left, concept in ((0, scene.concept), (PIXELS - side, scene.other)):
                top = (PIXELS - side) // 2 + rng.randint(-6, 6)
                self._put(canvas, self._thing(concept.name, style), left, top, side)
        elif scene.count > 1:
            self._put_several(canvas, self._thing(scene.concept.name, style), scene.count)
        else:
            thing = self._thing(scene.concept.name, style)
            if scene.colour:
                thing = recolour(thing, scene.colour)
            if scene.accessory:
                thing = self._dressed(thing, ACCESSORIES[scene.accessory], style)
            share = scene.size or rng.uniform(0.88, 1.0)
            side = min(PIXELS, round(share * PIXELS))
            spare = PIXELS - side
            left, top = (spare // 2 + rng.randint(-(spare // 2), spare // 2) * 2 // 3 for _ in range(2))
            self._put(canvas, thing, left, top, side)
        picture = canvas.round().clip(0, 255).astype(np.uint8)
        return _pixelated(picture) if scene.style == "pixel" else picture

    def _possible(self, scene: Scene) -> Scene:
        """The scene in a style that its concept has been drawn in."""
        if scene.style and scene.style != "pixel":
            both = set(self._styles[scene.concept.name])
            if scene.other is not None:
                both &= set(self._styles[scene.other.name])
            if scene.style not in both:
                return replace(scene, style=self._rng.choice(sorted(both)) if both else "")
        return scene

    def _style(self, scene: Scene) -> str:
        if scene.style and scene.style != "pixel":
            return scene.style
        return self._unnamed(scene.concept.name)

    def _unnamed(self, concept: str) -> str:
        styles = self._styles[concept]
        weights = [1 if self._alike else _UNNAMED.get(style, 1) for style in styles]
        return self._rng.choices(styles, weights)[0]

    def _thing(self, concept: str, style: str) -> np.ndarray:
        """One of the concept's drawings, (72, 72, 4) float32 RGBA with straight alpha, mirrored at times."""
        numbers = self._by_style.get((concept, style))
        if numbers is None:
            numbers = self._by_style[concept, self._unnamed(concept)]
        first = not self._alike and self._rng.random() < _FIRST
        drawing = self._drawings[numbers[0] if first else self._rng.choice(numbers)]
        if self._rng.random() < _MIRRORED:
            drawing = drawing[:, ::-1]
        if self._rng.random() < _TURNED:
            image = _premultiplied(drawing).rotate(self._rng.uniform(-12, 12), Image.Resampling.BICUBIC)
            drawing = np.asarray(image.convert("RGBA"))
        thing: np.ndarray = drawing.astype(np.float32)
        return thing

    def _dressed(self, thing: np.ndarray, accessory: str, style: str) -> np.ndarray:
        """With glasses where the eyes mostly are, or a hat on top. (72, 72, 4) float32."""
        worn = self._drawings[self._rng.choice(self._by_style.get((accessory, style)) or self.drawings_of(accessory))]
        rows = np.flatnonzero(thing[..., 3].max(1) > 32)
        top, bottom = (int(rows[0]), int(rows[-1])) if len(rows) else (0, SIDE - 1)
        columns = np.flatnonzero(thing[top : top + (bottom - top) // 2 + 1, :, 3].max(0) > 32)
        left, right = (int(columns[0]), int(columns[-1])) if len(columns) else (0, SIDE - 1)
        middle, width = (left + right) / 2, right - left + 1
        canvas = np.zeros_like(thing)
        if "glasses" in accessory:
            canvas[:] = thing
            side = round(max(26, min(52, width * 0.72)))
            _over(canvas, _resized(worn, side), round(middle - side / 2), round(top + (bottom - top) * 0.4 - side / 2))
            return canvas
        # the head moves down to make room for the hat
        small = _resized(thing.astype(np.uint8), 54)
        _over(canvas, small, 9, SIDE - 54)
        side = 34 if accessory != "crown" else 30
        head = SIDE - 54 + top * 54 // SIDE
        _over(canvas, _resized(worn, side), round(9 + middle * 54 / SIDE - side / 2), max(0, head - round(side * 0.66)))
        return canvas

    def plain(self, numbers: list[int]) -> np.ndarray:
        """(N, 64, 64, 3) uint8: drawings as they are, centred on white."""
        canvases = np.full((len(numbers), PIXELS, PIXELS, 3), 255, np.float32)
        for canvas, number in zip(canvases, numbers, strict=True):
            self._put(canvas, self._drawings[number], 3, 3, PIXELS - 6)
        return canvases.round().clip(0, 255).astype(np.uint8)

    def drawings_of(self, concept: str) -> list[int]:
        """Numbers of all its drawings, of every style."""
        return [number for style in self._styles[concept] for number in self._by_style[concept, style]]

    def _put(self, canvas: np.ndarray, thing: np.ndarray, left: int, top: int, side: int) -> None:
        patch = np.asarray(_premultiplied(thing.astype(np.uint8)).resize((side, side), Image.Resampling.LANCZOS))
        rows, columns = slice(max(0, top), top + side), slice(max(0, left), left + side)
        patch = patch[max(0, -top) :, max(0, -left) :][: PIXELS - max(0, top), : PIXELS - max(0, left)].astype(
            np.float32
        )
        target = canvas[rows, columns]
        target *= 1 - patch[..., 3:] / 255
        target += patch[..., :3]

    def _put_several(self, canvas: np.ndarray, thing: np.ndarray, count: int) -> None:
        side = 32 if count == 2 else 29
        places = [(0, 16), (32, 16)] if count == 2 else [(17, 2), (2, 33), (33, 33)]
        for left, top in places:
            inside = min(max(0, left + self._rng.randint(-1, 1)), PIXELS - side)
            self._put(canvas, thing, inside, top + self._rng.randint(-2, 2), side)


def recolour(thing: np.ndarray, colour: str) -> np.ndarray:
    """The drawing in another colour: its hue and saturation become the colour's, its light and dark stay.

    Whites and blacks of a colourful drawing (eyes, teeth) stay as they are. (H, W, 4) float32 → the same.
    """
    rgb, target = thing[..., :3] / 255, np.array(_PALETTE[colour], np.float32) / 255
    light = rgb @ np.array((0.299, 0.587, 0.114), np.float32)
    high, low = rgb.max(-1), rgb.min(-1)
    saturation = (high - low) / np.maximum(high, 1e-3)
    visible = thing[..., 3] > 64
    body = visible & (saturation > 0.18)
    colourful = body.sum() > 0.3 * max(1, visible.sum())
    share = np.clip(saturation / 0.35, 0, 1) if colourful else np.clip(1.15 - np.abs(light - 0.5) * 1.2, 0.55, 1)
    middle = float(np.median(light[body])) if colourful else float(np.median(light[visible])) if visible.any() else 0.5
    # the drawing's middle brightness becomes the colour itself; darker runs to black, brighter to white
    down = np.clip(light / max(middle, 0.05), 0, 1)[..., None]
    up = np.clip((light - middle) / max(1 - middle, 0.05), 0, 1)[..., None]
    painted = target * (0.35 + 0.65 * down) * (1 - 0.7 * up) + 0.7 * up
    mixed = painted * share[..., None] + rgb * (1 - share[..., None])
    painted_thing: np.ndarray = np.concatenate([np.clip(mixed, 0, 1) * 255, thing[..., 3:]], -1).astype(np.float32)
    return painted_thing


def _pixelated(picture: np.ndarray) -> np.ndarray:
    small: np.ndarray = picture.reshape(16, 4, 16, 4, 3).mean((1, 3)).round().astype(np.uint8)
    return small.repeat(4, 0).repeat(4, 1)


def _premultiplied(drawing: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(drawing.astype(np.uint8)), "RGBA").convert("RGBa")


def _resized(drawing: np.ndarray, side: int) -> np.ndarray:
    image = _premultiplied(drawing).resize((side, side), Image.Resampling.LANCZOS)
    return np.asarray(image.convert("RGBA")).astype(np.float32)


def _over(canvas: np.ndarray, patch: np.ndarray, left: int, top: int) -> None:
    """Lay ``patch`` on ``canvas`` (straight alpha, both float32), cut at the edges."""
    height, width = canvas.shape[:2]
    patch = patch[max(0, -top) : height - top, max(0, -left) : width - left]
    target = canvas[max(0, top) : max(0, top) + patch.shape[0], max(0, left) : max(0, left) + patch.shape[1]]
    above, below = patch[..., 3:] / 255, target[..., 3:] / 255
    alpha = above + below * (1 - above)
    colour = (patch[..., :3] * above + target[..., :3] * below * (1 - above)) / np.maximum(alpha, 1e-6)
    target[..., :3], target[..., 3:] = colour, alpha * 255
