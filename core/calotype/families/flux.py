"""FLUX.1 (Black Forest Labs 2024): a transformer on patches of two by two latents, T5's words and CLIP's gist."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from calotype.families.family import Defaults, Facts, Family, vae_scale
from calotype.families.folder import Folder

if TYPE_CHECKING:
    import torch

    from calotype.families.network import Network

DEV: Final = Defaults(steps=28, sampler="euler", schedule="simple", guidance=3.5)
SCHNELL: Final = Defaults(steps=4, sampler="euler", schedule="simple", guidance=1.0)
T5_LENGTHS: Final = {"input": 512, "none": 256}
"""Tokens that T5 reads: fewer for the model that was distilled to a few steps."""


class Flux(Family):
    """1024 pixels. *dev* takes the guidance scale as an input, *schnell* has none."""

    name = "flux"
    label = "FLUX.1"
    pipelines = ("FluxPipeline", "FluxImg2ImgPipeline", "FluxInpaintPipeline")

    def describe(self, folder: Folder) -> Facts:
        """See :class:`Family`."""
        transformer, vae = folder.config("transformer"), folder.config("vae")
        folder.require("tokenizer", "tokenizer_2")
        guided = bool(transformer.get("guidance_embeds"))
        return Facts(
            parts=("transformer", "vae", "text_encoder", "text_encoder_2"),
            words=("tokenizer", "tokenizer_2"),
            prediction="flow",
            latent_channels=int(transformer["in_channels"]) // 4,
            vae_scale=vae_scale(vae),
            tokens=T5_LENGTHS["input" if guided else "none"],
            native=1024,
            text_width=int(transformer["joint_attention_dim"]),
            patch=2,
            guidance="input" if guided else "none",
            defaults=DEV if guided else SCHNELL,
        )

    def load(self, folder: Path, facts: Facts, device: torch.device) -> Network:
        """See :class:`Family`."""
        from calotype.families.flux_network import load

        return load(folder, facts, device)
