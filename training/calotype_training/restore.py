"""The other way round: a model folder's parts into the training home, to go on training on another machine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from calotype_training.autoencoder import build_autoencoder
from calotype_training.checkpoints import write_state
from calotype_training.errors import TrainingError, first_line


def restore(folder: Path, home: Path) -> None:
    """Fill ``home`` from ``folder``, which ``make model`` wrote. Optimizers begin anew.

    Raises :class:`TrainingError` if a part is missing, or if ``home`` holds any already: parts of two models do not fit
    together.
    """
    found = [name for name in ("unet.pt", "autoencoder.pt", "latents.pt", "text", "judge.pt") if (home / name).exists()]
    if found:
        raise TrainingError(f"{home} holds {', '.join(found)} already; move them away to begin with {folder}")
    try:
        unet = _weights(folder / "unet" / "diffusion_pytorch_model.safetensors")
        vae = _weights(folder / "vae" / "diffusion_pytorch_model.safetensors")
        latents = _weights(folder / "latents.safetensors")
        build_autoencoder().load_state_dict(vae)
        channels = json.loads((folder / "unet" / "config.json").read_text("utf-8"))["block_out_channels"]
        for part in ("tokenizer", "text_encoder"):
            shutil.copytree(folder / part, home / "text" / part)
        (home / "text" / "tokenizer" / "done").touch()
        (home / "text" / "done.json").write_text(json.dumps({"steps": 10**9}), "utf-8")
    except (OSError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
        shutil.rmtree(home / "text", ignore_errors=True)
        raise TrainingError(f"{folder} is not a model that 'make model' wrote: {first_line(error)}") from error
    state = {"model": unet, "ema": unet, "optimizer": None, "step": 0, "seen": 0, "elapsed": 0.0, "leg": 0}
    write_state(home / "latents.pt", latents)
    write_state(home / "autoencoder.pt", {"model": vae, "optimizer": None, "step": 10**9})
    write_state(home / "unet.pt", {**state, "finished": True, "channels": list(channels)})


def _weights(path: Path) -> dict[str, torch.Tensor]:
    return {name: value.float() for name, value in load_file(path).items()}
