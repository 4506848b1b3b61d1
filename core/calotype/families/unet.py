"""What Stable Diffusion's families have in common: a U-Net in latent space (Rombach et al. 2022), CLIP's words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from calotype.families import autoencoder
from calotype.families.clip import Clip
from calotype.families.laws import VariancePreserving
from calotype.families.network import Inputs, Network, Prompt, Shape
from calotype.sampling import NoiseLevels


class UNetNetwork(Network):
    """A conditional U-Net, an autoencoder and one CLIP."""

    def __init__(self, unet: Any, vae: Any, clip: Clip, law: VariancePreserving, device: torch.device) -> None:
        self.unet, self.vae, self.clip = unet, vae, clip
        self.law: VariancePreserving = law
        self.device = device

    @property
    def denoiser(self) -> nn.Module:  # type: ignore[override]
        """See :class:`Network`."""
        unet: nn.Module = self.unet
        return unet

    def modules(self) -> Iterator[nn.Module]:
        """See :class:`Network`."""
        yield from (self.unet, self.vae, self.clip.encoder)

    def readers(self) -> Mapping[str, Clip]:
        """See :class:`Network`."""
        return {"text_encoder": self.clip}

    def levels(self, shape: Shape) -> NoiseLevels:
        """See :class:`Network`: the same for all shapes."""
        return self.law.levels

    def encode_text(self, text: str) -> Prompt:
        """See :class:`Network`."""
        found = self.clip.encode(text)
        return Prompt({"hidden": found.hidden}, found.tokens_lost, found.windows)

    def filled(self, prompt: Prompt, windows: int) -> Prompt:
        """See :class:`Network`."""
        hidden = self.clip.filled(prompt.hidden, windows)
        return Prompt({**prompt.inputs, "hidden": hidden}, prompt.tokens_lost, max(windows, prompt.windows))

    def conditions(self, width: int, height: int, guidance: float) -> Inputs:
        """The guidance scale, where the U-Net was distilled with it (Luo et al. 2023)."""
        size = self.unet.config.time_cond_proj_dim
        return {} if size is None else {"guidance": embedded(guidance - 1, size)}

    @torch.inference_mode()
    def predict(self, x: torch.Tensor, t: torch.Tensor, inputs: Inputs) -> torch.Tensor:
        """See :class:`Network`."""
        given = {name: value.to(self.device) for name, value in inputs.items()}
        x = x.to(self.device)
        added = None
        if "pooled" in given:
            added = {"text_embeds": given["pooled"], "time_ids": given["time_ids"]}
        out: torch.Tensor = self.unet(
            torch.cat([x, given["picture"]], dim=1) if "picture" in given else x,
            t.to(self.device),
            encoder_hidden_states=given["hidden"],
            timestep_cond=given.get("guidance"),
            added_cond_kwargs=added,
            return_dict=False,
        )[0]
        return out.float().cpu()

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """See :class:`Network`."""
        return autoencoder.decode(self.vae, latents, self.device)

    def encode(self, rgb: torch.Tensor) -> torch.Tensor:
        """See :class:`Network`."""
        return autoencoder.encode(self.vae, rgb, self.device)

    def pooled(self) -> Callable[[Sequence[str]], torch.Tensor] | None:
        """See :class:`Network`."""
        return self.clip.pooled


def embedded(scale: float, size: int) -> torch.Tensor:
    """(size,) sines and cosines of a guidance scale, as a step's (Vaswani et al. 2017), in thousandths."""
    half = size // 2
    frequencies = torch.exp(torch.arange(half, dtype=torch.float32) * -(torch.log(torch.tensor(10000.0)) / (half - 1)))
    angles = 1000.0 * scale * frequencies
    found = torch.cat([angles.sin(), angles.cos()])
    return nn.functional.pad(found, (0, size % 2))
