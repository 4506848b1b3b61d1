"""The picture that a run starts from, and the mask on it: read, cut to the request's size, encoded."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image, ImageOps

from calotype.engine.assignment import Assignment
from calotype.engine.masks import Mask
from calotype.engine.models import LoadedModel
from calotype.errors import CalotypeError

_CACHED: Final = 32
"""Latents that are remembered: of a person who varies one picture again and again."""
_WHITE: Final = 128
"""Grey from which on a mask counts as white."""


@dataclass(frozen=True)
class Start:
    """What a run starts from: ``latents`` (C, H, W), float32, of a clean picture, and which part of it may change.

    ``latents`` is None for a start from noise. ``picture`` (1 + C, H, W) is what an inpainting model takes as further
    channels: where it is to paint, and the latents of the picture without that (Rombach et al. 2022).
    """

    latents: torch.Tensor | None
    mask: Mask | None = None
    picture: torch.Tensor | None = None


class StartEncoder:
    """Encodes one picture at a time, so that its bits never depend on another; remembers the latest ones."""

    def __init__(self) -> None:
        self._cache: OrderedDict[tuple[str, str, int, int], torch.Tensor] = OrderedDict()

    def encode(self, model: LoadedModel, assignment: Assignment) -> Start | None:
        """The picture that the job starts from, with its mask if it has one; None if nothing is needed.

        Raises :class:`CalotypeError` if a file cannot be read, or if the mask leaves nothing to repaint.
        """
        request = assignment.request
        assert request.width and request.height
        width, height = request.width, request.height
        if assignment.init_image is None or request.init_image is None:
            return Start(None, None, _canvas(model, width, height)) if model.info.facts.inpaints else None
        key = (model.sha256, request.init_image, width, height)
        rgb = None
        if assignment.mask is not None or key not in self._cache:
            rgb = read_rgb(assignment.init_image, width, height)
        mask = None
        if assignment.mask is not None:
            assert rgb is not None
            mask = Mask.of(read_mask(assignment.mask, width, height), rgb, model.info.vae_scale)
        if key not in self._cache:
            assert rgb is not None
            self._cache[key] = model.encode(rgb)
            if len(self._cache) > _CACHED:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        picture = None
        if model.info.facts.inpaints:
            picture = _canvas(model, width, height) if mask is None else _picture(model, mask)
        return Start(self._cache[key], mask, picture)


def _canvas(model: LoadedModel, width: int, height: int) -> torch.Tensor:
    """What an inpainting model takes where all of the picture is to be painted."""
    grey = model.encode(torch.full((3, height, width), 0.5))
    return torch.cat([torch.ones_like(grey[:1]), grey])


def _picture(model: LoadedModel, mask: Mask) -> torch.Tensor:
    """The same where only ``mask`` is: grey in its place."""
    seen = torch.where(mask.pixels, torch.tensor(0.5), mask.rgb)
    return torch.cat([mask.latent.float(), model.encode(seen)])


def read_rgb(file: Path, width: int, height: int) -> torch.Tensor:
    """(3, height, width) RGB in 0 … 1, float32: scaled by Lanczos until it covers that size, the middle of it."""
    fitted = _read(file, "init_image: the picture it starts from", "RGB", (width, height), Image.Resampling.LANCZOS)
    pixels = torch.from_numpy(np.array(fitted, dtype=np.float32))
    return (pixels / 255).permute(2, 0, 1).contiguous()


def read_mask(file: Path, width: int, height: int) -> torch.Tensor:
    """(1, height, width), bool, True where it is white: the same cut as :func:`read_rgb` makes, by areas.

    Raises :class:`CalotypeError` if it cannot be read, or if there is nothing white in it.
    """
    fitted = _read(file, "mask: it", "L", (width, height), Image.Resampling.BOX)
    white = torch.from_numpy(np.array(fitted) >= _WHITE).unsqueeze(0)
    if not white.any():
        raise CalotypeError(
            "mask: nothing in it is white, so nothing would change; paint white what is to be repainted"
        )
    return white


def _read(file: Path, what: str, mode: str, size: tuple[int, int], how: Image.Resampling) -> Image.Image:
    try:
        with Image.open(file, formats=("PNG",)) as image:
            return ImageOps.fit(image.convert(mode), size, how)
    except (OSError, SyntaxError, ValueError) as error:  # Pillow says SyntaxError of a broken chunk
        reason = getattr(error, "strerror", None) or "it is damaged"
        raise CalotypeError(f"{what} cannot be read ({reason})") from error
