"""Stable Diffusion 3 and 3.5 (Esser et al. 2024): a multimodal transformer, two CLIPs and a T5 that may be left out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from calotype.families.family import Defaults, Facts, Family, vae_scale
from calotype.families.folder import Folder

if TYPE_CHECKING:
    import torch

    from calotype.families.network import Network

DEFAULTS: Final = Defaults(steps=28, sampler="euler", schedule="simple", guidance=4.5)


class StableDiffusion3(Family):
    """1024 pixels."""

    name = "sd3"
    label = "Stable Diffusion 3"
    pipelines = ("StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline", "StableDiffusion3InpaintPipeline")

    def describe(self, folder: Folder) -> Facts:
        """See :class:`Family`."""
        transformer, vae, text = (folder.config(part) for part in ("transformer", "vae", "text_encoder"))
        third = folder.has("text_encoder_3")
        words = ("tokenizer", "tokenizer_2", *(("tokenizer_3",) if third else ()))
        folder.require(*words)
        scale = vae_scale(vae)
        return Facts(
            parts=("transformer", "vae", "text_encoder", "text_encoder_2", *(("text_encoder_3",) if third else ())),
            words=words,
            prediction="flow",
            latent_channels=int(transformer["in_channels"]),
            vae_scale=scale,
            tokens=int(text["max_position_embeddings"]),
            native=int(transformer["sample_size"]) * scale,
            text_width=int(transformer["joint_attention_dim"]),
            patch=int(transformer["patch_size"]),
            defaults=DEFAULTS,
        )

    def load(self, folder: Path, facts: Facts, device: torch.device) -> Network:
        """See :class:`Family`."""
        from calotype.families.sd3_network import load

        return load(folder, facts, device)
