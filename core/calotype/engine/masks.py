"""Inpainting with a model that was not trained for it: what is outside of the mask is held at every step.

Blended Latent Diffusion (Avrahami et al. 2023; the blend is equation 8 of RePaint, Lugmayr et al. 2022, without its
resampling, and that of diffusers' inpaint pipeline for models of four channels): wherever the model is asked at a
noise level, the part that is kept is the clean picture with that much noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import max_pool2d


@dataclass(frozen=True)
class Mask:
    """Which part of a picture is repainted.

    ``pixels`` (1, H, W) and ``latent`` (1, h, w) are bool, True where it is; ``rgb`` (3, H, W), 0 … 1, float32, is the
    picture itself.
    """

    pixels: torch.Tensor
    latent: torch.Tensor
    rgb: torch.Tensor

    @classmethod
    def of(cls, pixels: torch.Tensor, rgb: torch.Tensor, scale: int) -> Mask:
        """For latents of one number per ``scale`` × ``scale`` pixels: free where any pixel is to be repainted.

        So nothing that was painted white stays as it was, however thin; what is freed beside it :meth:`paste` mends.
        """
        return cls(pixels, max_pool2d(pixels.float(), scale) > 0, rgb)

    def paste(self, rgb: torch.Tensor) -> torch.Tensor:
        """(3, H, W) of a finished picture with the old pixels where it was not to change."""
        return torch.where(self.pixels, rgb, self.rgb)


@dataclass(frozen=True)
class Held:
    """The part of one run's picture that is kept: ``latents`` (C, h, w) of the clean picture outside of ``free``.

    ``noise`` (C, h, w) is the unit noise that the run begins with, at all levels the same one, as in diffusers'
    pipeline: so the part lies on one straight line to the clean picture, no draw of the sampler's is taken away, and
    no neighbour matters.
    """

    free: torch.Tensor
    latents: torch.Tensor
    noise: torch.Tensor

    def noised(self, x: torch.Tensor, sigma: float) -> torch.Tensor:
        """(C, h, w) as the model is to see it at ``sigma``: ``x`` where it is free, else the noised picture."""
        return torch.where(self.free, x, self.latents + sigma * self.noise)

    def clean(self, denoised: torch.Tensor) -> torch.Tensor:
        """(C, h, w) estimate of the clean picture: as estimated where it is free, else as is known."""
        return torch.where(self.free, denoised, self.latents)
