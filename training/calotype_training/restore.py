"""The other way round: a model folder's parts into the training home, to go on training on another machine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from calotype_training.autoencoder import build_autoencoder
from calotype_training.errors import TrainingError
from calotype_training.home import write_whole


def restore(folder: Path, home: Path) -> None:
    """Fill ``home`` from ``folder``, which ``make model`` wrote. What is in ``home`` already is not touched.

    Optimizers begin anew. Raises :class:`TrainingError` if a part is missing or there is a U-Net already.
    """
    if (home / "unet.pt").exists():
        raise TrainingError(f"{home} holds a U-Net already; move unet.pt away to begin with {folder}")
    try:
        unet = _weights(folder / "unet" / "diffusion_pytorch_model.safetensors")
        vae = _weights(folder / "vae" / "diffusion_pytorch_model.safetensors")
        latents = _weights(folder / "latents.safetensors")
        channels = json.loads((folder / "unet" / "config.json").read_text("utf-8"))["block_out_channels"]
        if not (home / "text" / "done.json").exists():
            for part in ("tokenizer", "text_encoder"):
                shutil.copytree(folder / part, home / "text" / part, dirs_exist_ok=True)
            (home / "text" / "tokenizer" / "done").touch()
            (home / "text" / "done.json").write_text(json.dumps({"steps": 10**9}), "utf-8")
    except (OSError, KeyError, ValueError) as error:
        raise TrainingError(f"{folder} is not a model that 'make model' wrote: {error}") from error
    build_autoencoder().load_state_dict(vae)
    state = {"model": unet, "ema": unet, "optimizer": None, "step": 0, "seen": 0, "elapsed": 0.0, "leg": 0}
    _keep(home / "latents.pt", latents)
    _keep(home / "autoencoder.pt", {"model": vae, "optimizer": None, "step": 10**9})
    _keep(home / "unet.pt", {**state, "finished": True, "channels": list(channels)})


def _weights(path: Path) -> dict[str, torch.Tensor]:
    return {name: value.float() for name, value in load_file(path).items()}


def _keep(path: Path, state: dict[str, Any]) -> None:
    if not path.exists():
        write_whole(path, lambda part: torch.save(state, part))
