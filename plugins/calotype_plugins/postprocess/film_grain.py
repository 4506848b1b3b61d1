"""Film grain: the texture of silver, strongest in the mid-tones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

import calotype

if TYPE_CHECKING:
    from PIL.Image import Image

FULL_STRENGTH = 64.0
"""Standard deviation of the grain on mid-grey at strength 1, in levels of 8 bits."""


class FilmGrainParams(calotype.Params):
    """What can be set for ``film_grain``."""

    strength: float = Field(default=0.15, ge=0.0, le=1.0, description="How visible the grain is: 0 changes nothing")
    size: int = Field(default=1, ge=1, le=8, description="Size of a grain in pixels")


class FilmGrain(calotype.PostProcessor):
    """Grey Gaussian grain, the same on all three channels, weighted by luminance Y as 4·Y·(1 − Y).

    Black and white stay clean, as on film, where no grain or only grain is left: clipping shifts nothing.
    """

    name = "film_grain"
    label = "Film grain"
    Params = FilmGrainParams
    order = 60

    def process(self, image: Image, info: calotype.PictureInfo, params: calotype.Params) -> Image:
        """The picture with grain, the same for the same seed."""
        import numpy as np
        from PIL import Image as images

        assert isinstance(params, FilmGrainParams)
        rows, columns = -(-image.height // params.size), -(-image.width // params.size)
        drawn = np.random.default_rng(info.seed).standard_normal((rows, columns), dtype=np.float32)
        enlarged = images.fromarray(drawn).resize(
            (columns * params.size, rows * params.size), images.Resampling.BICUBIC
        )
        grain = np.asarray(enlarged)[: image.height, : image.width]
        # Enlarging averages grains and so weakens them: bring them back to unit strength (one pixel has no spread).
        grain = grain / (float(grain.std()) or 1.0)
        luminance = np.asarray(image.convert("L"), dtype=np.float32) / 255
        change = FULL_STRENGTH * params.strength * 4 * luminance * (1 - luminance) * grain
        # One channel after another keeps the float copies of a large picture small.
        changed = [np.clip(np.rint(np.asarray(band) + change), 0, 255).astype(np.uint8) for band in image.split()]
        return images.merge(image.mode, [images.fromarray(band) for band in changed])


@calotype.hookimpl
def calotype_postprocessors() -> list[calotype.PostProcessor]:
    """Add the post-processor ``film_grain``."""
    return [FilmGrain()]
