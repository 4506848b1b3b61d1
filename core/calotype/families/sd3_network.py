"""Runs Stable Diffusion 3. Imported when one is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import SD3Transformer2DModel
from torch import nn
from torch.nn.functional import pad
from transformers import AutoTokenizer, CLIPTextModelWithProjection, T5EncoderModel

from calotype.families import autoencoder, parts
from calotype.families.clip import Clip
from calotype.families.family import Facts
from calotype.families.flow import FlowNetwork
from calotype.families.folder import Folder
from calotype.families.network import Inputs, Network, Prompt
from calotype.families.t5 import T5

_T5_LENGTH: Final = 256


class SD3Network(FlowNetwork):
    """One window of each CLIP, side by side, then T5's sequence."""

    def __init__(
        self,
        transformer: Any,
        vae: Any,
        scheduler: dict[str, Any],
        clips: tuple[Clip, Clip],
        t5: T5 | None,
        device: torch.device,
    ) -> None:
        super().__init__(transformer, vae, scheduler, device)
        self.clips, self.t5 = clips, t5

    def modules(self) -> Iterator[nn.Module]:
        """See :class:`Network`."""
        yield from super().modules()
        yield from (clip.encoder for clip in self.clips)
        if self.t5 is not None:
            yield self.t5.encoder

    def readers(self) -> Mapping[str, Clip]:
        """See :class:`Network`."""
        return {"text_encoder": self.clips[0], "text_encoder_2": self.clips[1]}

    def encode_text(self, text: str) -> Prompt:
        """See :class:`Network`. Without a T5 its sequence is zeros, which the model was trained with as well."""
        found = [clip.encode(text) for clip in self.clips]
        width = int(self.transformer.config.joint_attention_dim)
        both = torch.cat([each.hidden for each in found], dim=1)
        if self.t5 is None:
            sequence, lost = torch.zeros(_T5_LENGTH, width), max(each.tokens_lost for each in found)
        else:
            sequence, lost = self.t5.encode(text)
        hidden = torch.cat([pad(both, (0, width - both.shape[1])), sequence])
        return Prompt({"hidden": hidden, "pooled": torch.cat([each.pooled for each in found])}, lost)

    @torch.inference_mode()
    def predict(self, x: torch.Tensor, t: torch.Tensor, inputs: Inputs) -> torch.Tensor:
        """See :class:`Network`."""
        out: torch.Tensor = self.transformer(
            hidden_states=x.to(self.device),
            timestep=t.to(self.device),
            encoder_hidden_states=inputs["hidden"].to(self.device),
            pooled_projections=inputs["pooled"].to(self.device),
            return_dict=False,
        )[0]
        return out.float().cpu()


def load(folder: Path, facts: Facts, device: torch.device) -> Network:
    """See :class:`~calotype.families.family.Family`."""
    kind, how = CLIPTextModelWithProjection, {"penultimate": True, "one_window": True}
    first, second = (parts.clip(folder, which, kind, facts.tokens, device, **how) for which in ("", "_2"))
    t5 = None
    if "text_encoder_3" in facts.parts:
        encoder = parts.text_encoder(T5EncoderModel, folder / "text_encoder_3", device)
        t5 = T5(parts.tokenizer(AutoTokenizer, folder / "tokenizer_3"), encoder, _T5_LENGTH, device)
    return SD3Network(
        parts.network(SD3Transformer2DModel, folder / "transformer", device),
        autoencoder.load(folder / "vae", device),
        Folder(folder).json("scheduler/scheduler_config.json"),
        (first, second),
        t5,
        device,
    )
