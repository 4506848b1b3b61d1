"""Pictures to latents and back, by a variational autoencoder or a small one without the variation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from calotype.families import parts


def load(folder: Path, device: torch.device) -> Any:
    """The class that its ``config.json`` names."""
    import json

    from diffusers import AutoencoderKL, AutoencoderTiny

    config = json.loads((folder / "config.json").read_text("utf-8"))
    kind = AutoencoderTiny if config.get("_class_name") == "AutoencoderTiny" else AutoencoderKL
    return parts.network(kind, folder, device)


@torch.inference_mode()
def decode(vae: Any, latents: torch.Tensor, device: torch.device) -> torch.Tensor:
    """(C, H, W) latents → (3, H, W) RGB in 0 … 1, float32, on the CPU."""
    z = latents.unsqueeze(0).to(device) / vae.config.scaling_factor
    rgb: torch.Tensor = vae.decode(z + _shift(vae), return_dict=False)[0][0]
    return (rgb.float().cpu() / 2 + 0.5).clamp(0, 1)


@torch.inference_mode()
def encode(vae: Any, rgb: torch.Tensor, device: torch.device) -> torch.Tensor:
    """(3, H, W) RGB in 0 … 1 → (C, H, W) latents, float32, on the CPU.

    A variational autoencoder's mean is taken, not a draw.
    """
    encoded = vae.encode(rgb.unsqueeze(0).to(device) * 2 - 1)
    z: torch.Tensor = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
    latents: torch.Tensor = (z[0] - _shift(vae)) * vae.config.scaling_factor
    return latents.float().cpu()


def _shift(vae: Any) -> float:
    return float(getattr(vae.config, "shift_factor", None) or 0.0)
