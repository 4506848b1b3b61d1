"""Stable Diffusion XL (Podell et al. 2023): two text encoders, and the picture's size as an input."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from calotype.families.family import Defaults, Facts, Family
from calotype.families.folder import Folder
from calotype.families.stable_diffusion import TURBO, is_turbo, unet_facts

if TYPE_CHECKING:
    import torch

    from calotype.families.network import Network

_BASE: Final = Defaults(steps=30, guidance=6.0)


class StableDiffusionXL(Family):
    """1024 pixels."""

    name = "sdxl"
    label = "Stable Diffusion XL"
    pipelines = ("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline", "StableDiffusionXLInpaintPipeline")

    def describe(self, folder: Folder) -> Facts:
        """See :class:`Family`."""
        return unet_facts(folder, ("", "_2"), TURBO if is_turbo(folder) else _BASE)

    def load(self, folder: Path, facts: Facts, device: torch.device) -> Network:
        """See :class:`Family`."""
        from calotype.families.sdxl_network import load

        return load(folder, facts, device)
