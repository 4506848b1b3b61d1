"""Upscale: a small learned network makes the picture two or four times larger."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Literal

from pydantic import Field

import calotype
from calotype_plugins.postprocess.srvggnet import REACH, SRVGGNetCompact

if TYPE_CHECKING:
    from PIL.Image import Image

PIXEL_LIMIT = 2**24
TILE = 512
CONTEXT = REACH + 2
"""Surroundings on which a tile's result depends: the network's, and those of Lanczos, which reaches 1.5 pixels."""


class UpscaleParams(calotype.Params):
    """What can be set for ``upscale``."""

    factor: Literal[2, 4] = Field(default=4, description="How many times larger each side becomes")


class Upscale(calotype.PostProcessor):
    """Real-ESRGAN's realesr-animevideov3 (Wang et al. 2021), x4; x2 is that, then Lanczos down by half.

    Above 512x512 it works tile by tile, so that memory does not grow with the picture. A tile is enlarged together
    with all of its surroundings that matter, so that no seam shows.
    """

    name = "upscale"
    label = "Upscale"
    Params = UpscaleParams
    order = 20

    def __init__(self) -> None:
        self._network = SRVGGNetCompact()

    def scale(self, params: calotype.Params) -> int:
        """The factor asked for."""
        assert isinstance(params, UpscaleParams)
        return params.factor

    def process(self, image: Image, info: calotype.PictureInfo, params: calotype.Params) -> Image:
        """The larger picture; ValueError where it would exceed 16 megapixels."""
        from PIL import Image as images

        factor = self.scale(params)
        width, height = image.size
        if width * height * factor**2 > PIXEL_LIMIT:
            raise ValueError(f"the picture would be {width * factor}x{height * factor}; at most 16 megapixels")
        larger = images.new("RGB", (width * factor, height * factor))
        for left, top in product(range(0, width, TILE), range(0, height, TILE)):
            right, bottom = min(left + TILE, width), min(top + TILE, height)
            x, y = max(left - CONTEXT, 0), max(top - CONTEXT, 0)
            seen = image.crop((x, y, min(right + CONTEXT, width), min(bottom + CONTEXT, height)))
            tile = self._network(seen)
            if factor == 2:
                tile = tile.resize((seen.width * 2, seen.height * 2), images.Resampling.LANCZOS)
            tile = tile.crop(((left - x) * factor, (top - y) * factor, (right - x) * factor, (bottom - y) * factor))
            larger.paste(tile, (left * factor, top * factor))
        return larger


@calotype.hookimpl
def calotype_postprocessors() -> list[calotype.PostProcessor]:
    """Add the post-processor ``upscale``."""
    return [Upscale()]
