"""A plugin for Calotype: a sampler and a post-processor. Change what you like, and throw away what you do not need."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from pydantic import Field

import calotype

if TYPE_CHECKING:  # what is imported up here must be light: torch and PIL wait until there is work
    from PIL.Image import Image


class RalstonParams(calotype.Params):
    """What can be set for ``ralston``."""

    alpha: float = Field(default=2 / 3, ge=0.5, le=1.0, description="Where in a step the second slope is taken")


class Ralston(calotype.Sampler):
    """The family of second-order Runge-Kutta methods: midpoint at α = 1/2, Ralston's at 2/3, Heun's at 1.

    Karras et al. (2022), "Elucidating the Design Space of Diffusion-Based Generative Models", Algorithm 3.
    """

    name = "ralston"
    label = "Ralston"
    Params = RalstonParams

    def calls(self, steps: int) -> int:
        """Two model calls a step, but one in the last."""
        return 2 * steps - 1

    def run(
        self, x: calotype.Latents, sigmas: calotype.Sigmas, noise: calotype.NoiseSource, params: calotype.Params
    ) -> calotype.Sampling:
        """Solve from ``sigmas[0]`` down to 0."""
        assert isinstance(params, RalstonParams)
        alpha = params.alpha
        for sigma, sigma_next in pairwise(sigmas):
            h = sigma_next - sigma
            estimate = yield calotype.Query(x, sigma)
            d = (x - estimate.denoised) / sigma
            if sigma_next > 0:  # at 0 there is nothing to ask: the last step stays Euler's
                x_mid, sigma_mid = x + alpha * h * d, sigma + alpha * h
                estimate = yield calotype.Query(x_mid, sigma_mid)
                d_mid = (x_mid - estimate.denoised) / sigma_mid
                d = (1 - 1 / (2 * alpha)) * d + 1 / (2 * alpha) * d_mid
            x = x + h * d
        return x


class SaltPrintParams(calotype.Params):
    """What can be set for ``salt_print``."""

    strength: float = Field(default=1.0, ge=0.0, le=1.0, description="How brown it becomes: 0 changes nothing")


class SaltPrint(calotype.PostProcessor):
    """The brown tones of a salted paper print, as calotypes were printed."""

    name = "salt_print"
    label = "Salt print"
    Params = SaltPrintParams
    order = 50

    def process(self, image: Image, info: calotype.PictureInfo, params: calotype.Params) -> Image:
        """The toned picture."""
        from PIL import Image as images
        from PIL import ImageOps

        assert isinstance(params, SaltPrintParams)
        toned = ImageOps.colorize(image.convert("L"), black=(46, 24, 18), mid=(142, 98, 72), white=(247, 238, 221))
        return images.blend(image, toned, params.strength)


@calotype.hookimpl
def calotype_samplers() -> list[calotype.Sampler]:
    """Add the sampler ``ralston``."""
    return [Ralston()]


@calotype.hookimpl
def calotype_postprocessors() -> list[calotype.PostProcessor]:
    """Add the post-processor ``salt_print``."""
    return [SaltPrint()]
