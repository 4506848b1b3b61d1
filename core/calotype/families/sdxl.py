"""Stable Diffusion XL (Podell et al. 2023): two text encoders, and the picture's size as an input."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from calotype.families.family import Defaults, Facts, Family, vae_scale
from calotype.families.folder import Folder
from calotype.families.stable_diffusion import TURBO, channels_of, is_turbo, prediction_of

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
        unet, vae, text = (folder.config(part) for part in ("unet", "vae", "text_encoder"))
        folder.require("tokenizer", "tokenizer_2")
        scale = vae_scale(vae)
        return Facts(
            parts=("unet", "vae", "text_encoder", "text_encoder_2"),
            words=("tokenizer", "tokenizer_2"),
            prediction=prediction_of(folder),
            latent_channels=channels_of(folder, unet),
            vae_scale=scale,
            tokens=int(text["max_position_embeddings"]),
            native=int(unet["sample_size"]) * scale,
            text_width=int(unet["cross_attention_dim"]),
            guidance="pair" if unet.get("time_cond_proj_dim") is None else "input",
            inpaints=unet["in_channels"] != unet["out_channels"],
            defaults=TURBO if is_turbo(folder) else _BASE,
        )

    def load(self, folder: Path, facts: Facts, device: torch.device) -> Network:
        """See :class:`Family`."""
        from calotype.families.sdxl_network import load

        return load(folder, facts, device)
