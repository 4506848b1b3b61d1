"""Stable Diffusion 1.x and 2.x, and models distilled from them to a few steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from calotype.errors import ModelError
from calotype.families.family import Defaults, Facts, Family, vae_scale
from calotype.families.folder import Folder

if TYPE_CHECKING:
    import torch

    from calotype.families.unet import UNetNetwork

PREDICTIONS: Final = ("epsilon", "v_prediction", "sample")
TURBO: Final = Defaults(steps=4, sampler="euler_ancestral", schedule="simple", guidance=1.0)
"""Adversarially distilled (Sauer et al. 2023): few steps, no guidance."""
_OPEN_CLIP: Final = 1024
"""Width of 2.x's text encoder, OpenCLIP ViT-H."""


class StableDiffusion1(Family):
    """Rombach et al. (2022): 512 pixels, CLIP ViT-L."""

    name = "sd1"
    label = "Stable Diffusion 1.x"
    pipelines: ClassVar[tuple[str, ...]] = (
        "StableDiffusionPipeline",
        "StableDiffusionImg2ImgPipeline",
        "StableDiffusionInpaintPipeline",
    )

    def describe(self, folder: Folder) -> Facts:
        """See :class:`Family`."""
        return unet_facts(folder, ("",), self.defaults(folder))

    def defaults(self, folder: Folder) -> Defaults:
        """Best settings, unless the folder's card says others."""
        return TURBO if is_turbo(folder) else Defaults()

    def load(self, folder: Path, facts: Facts, device: torch.device) -> UNetNetwork:
        """See :class:`Family`."""
        from diffusers import UNet2DConditionModel
        from transformers import CLIPTextModel

        from calotype.engine.levels import TrainedLevels
        from calotype.families import autoencoder, parts
        from calotype.families.laws import VariancePreserving
        from calotype.families.unet import UNetNetwork

        unet = parts.network(UNet2DConditionModel, folder / "unet", device)
        vae = autoencoder.load(folder / "vae", device)
        clip = parts.clip(folder, "", CLIPTextModel, facts.tokens, device)
        levels = TrainedLevels.from_config(Folder(folder).json("scheduler/scheduler_config.json"))
        width, taken = clip.encoder.config.hidden_size, unet.config.cross_attention_dim
        if width != taken:
            raise ModelError(f"model: the text encoder is {width} wide, the U-Net takes {taken}")
        law = VariancePreserving(levels, facts.prediction)
        return UNetNetwork(unet, vae, clip, law, device)


class StableDiffusion2(StableDiffusion1):
    """768 pixels and v-prediction, or 512 and epsilon; OpenCLIP ViT-H without its last layer."""

    name = "sd2"
    label = "Stable Diffusion 2.x"

    def recognises(self, folder: Folder) -> bool:
        """By the width of the text encoder."""
        return super().recognises(folder) and folder.config("text_encoder").get("hidden_size") == _OPEN_CLIP


class LatentConsistency(StableDiffusion1):
    """Luo et al. (2023): one to eight steps, the guidance scale is an input."""

    name = "lcm"
    label = "Latent consistency models"
    pipelines = ("LatentConsistencyModelPipeline", "LatentConsistencyModelImg2ImgPipeline")

    def defaults(self, folder: Folder) -> Defaults:
        """See above."""
        return Defaults(steps=4, sampler="lcm", schedule="simple", guidance=8.0)


def unet_facts(folder: Folder, readers: Sequence[str], defaults: Defaults) -> Facts:
    """Of a U-Net in latent space; ``readers`` are the endings of its text encoders' and tokenizers' names."""
    words = tuple(f"tokenizer{each}" for each in readers)
    unet, vae, text = (folder.config(part) for part in ("unet", "vae", "text_encoder"))
    folder.require(*words)
    scale = vae_scale(vae)
    return Facts(
        parts=("unet", "vae", *(f"text_encoder{each}" for each in readers)),
        words=words,
        prediction=prediction_of(folder),
        latent_channels=channels_of(folder, unet),
        vae_scale=scale,
        tokens=int(text["max_position_embeddings"]),
        native=int(unet["sample_size"]) * scale,
        text_width=int(unet["cross_attention_dim"]),
        guidance="pair" if unet.get("time_cond_proj_dim") is None else "input",
        inpaints=unet["in_channels"] != unet["out_channels"],
        defaults=defaults,
    )


def prediction_of(folder: Folder) -> str:
    """What the network's output is, by ``scheduler_config.json``. Raises :class:`ModelError`."""
    prediction = str(folder.json("scheduler/scheduler_config.json").get("prediction_type", "epsilon"))
    if prediction not in PREDICTIONS:
        raise ModelError(f"model: {folder.path} predicts {prediction!r}; supported are {', '.join(PREDICTIONS)}")
    return prediction


def channels_of(folder: Folder, unet: dict[str, Any]) -> int:
    """Channels of the latents. A U-Net for inpainting takes a mask and the masked picture beside them."""
    taken, given = int(unet["in_channels"]), int(unet["out_channels"])
    if taken not in (given, 2 * given + 1):
        raise ModelError(
            f"model: {folder.path} takes {taken} channels and gives {given}; "
            f"supported are {given}, and {2 * given + 1} for inpainting"
        )
    return given


def is_turbo(folder: Folder) -> bool:
    """By the solver that it was saved with."""
    saved = folder.json("scheduler/scheduler_config.json")
    return saved.get("_class_name") == "EulerAncestralDiscreteScheduler" and saved.get("timestep_spacing") == "trailing"
