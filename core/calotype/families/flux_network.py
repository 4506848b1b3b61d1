"""Runs FLUX.1. Imported when one is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import FluxTransformer2DModel
from torch import nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle
from transformers import AutoTokenizer, CLIPTextModel, T5EncoderModel

from calotype.families import autoencoder, parts
from calotype.families.clip import Clip
from calotype.families.family import Facts
from calotype.families.flow import FlowNetwork
from calotype.families.folder import Folder
from calotype.families.network import Inputs, Network, Prompt
from calotype.families.t5 import T5


class FluxNetwork(FlowNetwork):
    """T5's sequence, and CLIP's pooled output of the first window."""

    def __init__(
        self, transformer: Any, vae: Any, scheduler: dict[str, Any], clip: Clip, t5: T5, device: torch.device
    ) -> None:
        super().__init__(transformer, vae, scheduler, device)
        self.clip, self.t5 = clip, t5

    def modules(self) -> Iterator[nn.Module]:
        """See :class:`Network`."""
        yield from super().modules()
        yield from (self.clip.encoder, self.t5.encoder)

    def readers(self) -> Mapping[str, Clip]:
        """See :class:`Network`."""
        return {"text_encoder": self.clip}

    def encode_text(self, text: str) -> Prompt:
        """See :class:`Network`."""
        hidden, lost = self.t5.encode(text)
        return Prompt({"hidden": hidden, "pooled": self.clip.encode(text).pooled}, lost)

    def conditions(self, width: int, height: int, guidance: float) -> Inputs:
        """The guidance scale, where the model was distilled with it."""
        return {"guidance": torch.tensor(guidance)} if self.transformer.config.guidance_embeds else {}

    @torch.inference_mode()
    def predict(self, x: torch.Tensor, t: torch.Tensor, inputs: Inputs) -> torch.Tensor:
        """See :class:`Network`."""
        given = {name: value.to(self.device) for name, value in inputs.items()}
        patches = pixel_unshuffle(x.to(self.device), 2)  # (N, 4C, H/2, W/2)
        height, width = patches.shape[-2:]
        out: torch.Tensor = self.transformer(
            hidden_states=patches.flatten(2).transpose(1, 2),
            timestep=t.to(self.device) / 1000,
            guidance=given.get("guidance"),
            pooled_projections=given["pooled"],
            encoder_hidden_states=given["hidden"],
            txt_ids=torch.zeros(given["hidden"].shape[1], 3, device=self.device),
            img_ids=places(height, width).to(self.device),
            return_dict=False,
        )[0]
        return pixel_shuffle(out.transpose(1, 2).reshape(len(out), -1, height, width), 2).float().cpu()


def places(height: int, width: int) -> torch.Tensor:
    """(height · width, 3): 0, row and column of every patch."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).flatten(0, 1).float()


def load(folder: Path, facts: Facts, device: torch.device) -> Network:
    """See :class:`~calotype.families.family.Family`."""
    clip = parts.clip(folder, "", CLIPTextModel, None, device, one_window=True)
    t5 = T5(
        parts.tokenizer(AutoTokenizer, folder / "tokenizer_2"),
        parts.text_encoder(T5EncoderModel, folder / "text_encoder_2", device),
        facts.tokens,
        device,
    )
    return FluxNetwork(
        parts.network(FluxTransformer2DModel, folder / "transformer", device),
        autoencoder.load(folder / "vae", device),
        Folder(folder).json("scheduler/scheduler_config.json"),
        clip,
        t5,
        device,
    )
