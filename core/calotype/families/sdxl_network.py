"""Runs Stable Diffusion XL. Imported when one is loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from calotype.engine.levels import TrainedLevels
from calotype.errors import ModelError
from calotype.families import autoencoder, parts
from calotype.families.clip import Clip
from calotype.families.family import Facts
from calotype.families.folder import Folder
from calotype.families.laws import VariancePreserving
from calotype.families.network import Inputs, Network, Prompt
from calotype.families.unet import UNetNetwork


class XLNetwork(UNetNetwork):
    """``clip`` is CLIP ViT-L, ``second`` OpenCLIP ViT-bigG, whose pooled output is an input of its own."""

    def __init__(
        self,
        unet: Any,
        vae: Any,
        clips: tuple[Clip, Clip],
        law: VariancePreserving,
        device: torch.device,
        *,
        zeros: bool,
    ) -> None:
        """``zeros``: the empty negative prompt is zeros, as the model was trained with dropped prompts."""
        super().__init__(unet, vae, clips[0], law, device)
        self.second, self._zeros = clips[1], zeros

    def modules(self) -> Iterator[nn.Module]:
        """See :class:`Network`."""
        yield from super().modules()
        yield self.second.encoder

    def readers(self) -> Mapping[str, Clip]:
        """See :class:`Network`."""
        return {"text_encoder": self.clip, "text_encoder_2": self.second}

    def encode_text(self, text: str) -> Prompt:
        """See :class:`Network`: the hidden states of both side by side."""
        found = [clip.encode(text) for clip in (self.clip, self.second)]
        windows = max(each.windows for each in found)
        hidden = [clip.filled(each.hidden, windows) for clip, each in zip((self.clip, self.second), found, strict=True)]
        inputs = {"hidden": torch.cat(hidden, dim=1), "pooled": found[1].pooled}
        return Prompt(inputs, max(each.tokens_lost for each in found), windows)

    def encode_negative(self, text: str) -> Prompt:
        """See :class:`Network`."""
        found = self.encode_text(text)
        if text or not self._zeros:
            return found
        return Prompt({name: torch.zeros_like(value) for name, value in found.inputs.items()})

    def filled(self, prompt: Prompt, windows: int) -> Prompt:
        """See :class:`Network`."""
        if prompt.windows == windows:
            return prompt
        empty = (self.encode_text("") if prompt.hidden.any() else self.encode_negative("")).hidden
        hidden = torch.cat([prompt.hidden, *[empty] * (windows - prompt.windows)])
        return Prompt({**prompt.inputs, "hidden": hidden}, prompt.tokens_lost, windows)

    def conditions(self, width: int, height: int, guidance: float) -> Inputs:
        """``time_ids``: original size, crop and target size: a whole picture of just this size."""
        ids = torch.tensor([height, width, 0, 0, height, width], dtype=torch.float32)
        return {**super().conditions(width, height, guidance), "time_ids": ids}

    def pooled(self) -> Callable[[Sequence[str]], torch.Tensor] | None:
        """Hints are made for one encoder."""
        return None


def load(folder: Path, facts: Facts, device: torch.device) -> Network:
    """See :class:`~calotype.families.family.Family`."""
    unet = parts.network(UNet2DConditionModel, folder / "unet", device)
    vae = autoencoder.load(folder / "vae", device)
    kinds = (("", CLIPTextModel), ("_2", CLIPTextModelWithProjection))
    first, second = (parts.clip(folder, which, kind, facts.tokens, device, penultimate=True) for which, kind in kinds)
    width, taken = (
        sum(clip.encoder.config.hidden_size for clip in (first, second)),
        unet.config.cross_attention_dim,
    )
    if width != taken:
        raise ModelError(f"model: the text encoders are {width} wide together, the U-Net takes {taken}")
    opened = Folder(folder)
    levels = TrainedLevels.from_config(opened.json("scheduler/scheduler_config.json"))
    law = VariancePreserving(levels, facts.prediction)
    zeros = bool(opened.index.get("force_zeros_for_empty_prompt", True))
    return XLNetwork(unet, vae, (first, second), law, device, zeros=zeros)
