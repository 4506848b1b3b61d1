"""The picture that a run starts from: read, cut to the request's size, encoded."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image, ImageOps

from calotype.engine.assignment import Assignment
from calotype.engine.models import LoadedModel
from calotype.errors import CalotypeError

_CACHED: Final = 32
"""Latents that are remembered: of a person who varies one picture again and again."""


class StartEncoder:
    """Encodes one picture at a time, so that its bits never depend on another; remembers the latest ones."""

    def __init__(self) -> None:
        self._cache: OrderedDict[tuple[str, str, int, int], torch.Tensor] = OrderedDict()

    def encode(self, model: LoadedModel, assignment: Assignment) -> torch.Tensor | None:
        """Latents (C, H, W), float32, of the picture that the job starts from; None if it starts from noise.

        Raises :class:`CalotypeError` if its file cannot be read.
        """
        request = assignment.request
        if assignment.init_image is None or request.init_image is None:
            return None
        assert request.width and request.height
        key = (model.sha256, request.init_image, request.width, request.height)
        if key not in self._cache:
            self._cache[key] = model.encode(read_rgb(assignment.init_image, request.width, request.height))
            if len(self._cache) > _CACHED:
                self._cache.popitem(last=False)
        self._cache.move_to_end(key)
        return self._cache[key]


def read_rgb(file: Path, width: int, height: int) -> torch.Tensor:
    """(3, height, width) RGB in 0 … 1, float32: scaled by Lanczos until it covers that size, the middle of it."""
    try:
        with Image.open(file, formats=("PNG",)) as image:
            fitted = ImageOps.fit(image.convert("RGB"), (width, height), Image.Resampling.LANCZOS)
    except (OSError, SyntaxError, ValueError) as error:  # Pillow says SyntaxError of a broken chunk
        reason = getattr(error, "strerror", None) or "it is damaged"
        raise CalotypeError(f"init_image: the picture it starts from cannot be read ({reason})") from error
    pixels = torch.from_numpy(np.array(fitted, dtype=np.float32))
    return (pixels / 255).permute(2, 0, 1).contiguous()
