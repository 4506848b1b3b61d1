"""``make train``, second part: an AutoencoderTiny for the fixed latents.

Its encoder regresses to the linear map's latents, its decoder turns them, a little noise added as a sampler leaves it,
back into the picture, sharper than the map's inverse could. So it can be trained before, after or beside the U-Net.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any, Final

import torch
from torch.nn import functional

from calotype_training.checkpoints import load_checkpoint, read_checkpoint, save_checkpoint
from calotype_training.dataset import Dataset
from calotype_training.errors import TrainingError
from calotype_training.latents import CHANNELS, as_tensor, latent_map
from calotype_training.learning import learn
from calotype_training.pictures import Composer
from calotype_training.progress import Progress

SCALING: Final = 4.5
"""U-Net latents are the autoencoder's times this: its decoder squeezes values beyond three (tanh)."""
_BATCH: Final = 16
_RATE: Final = 2e-3
_MEASURED: Final = 200


def build_autoencoder() -> Any:
    """A fresh AutoencoderTiny, 64 × 64 RGB ↔ 16 × 16 × 12."""
    from diffusers import AutoencoderTiny

    return AutoencoderTiny(
        latent_channels=CHANNELS, encoder_block_out_channels=(32, 32, 32), decoder_block_out_channels=(48, 48, 48),
        num_encoder_blocks=(1, 1, 1), num_decoder_blocks=(3, 2, 1), scaling_factor=SCALING,
    )  # fmt: skip


def train_autoencoder(dataset: Dataset, home: Path, steps: int) -> Path:
    """Train, or go on where a kill left it; the checkpoint's path. Raises :class:`TrainingError`."""
    path = home / "autoencoder.pt"
    torch.manual_seed(21)
    model = build_autoencoder()
    optimizer = torch.optim.AdamW(model.parameters(), _RATE, weight_decay=0.0, fused=True)
    begin = load_checkpoint(path, model, optimizer)
    latents = latent_map(dataset, home)
    composer = Composer(dataset, random.Random(31 + begin))
    progress, saved, mean = Progress("autoencoder", steps, begin), time.monotonic(), 0.0
    for step in range(begin, steps):
        pictures = as_tensor([composer.sample()[0] for _ in range(_BATCH)])
        wanted = latents.encode(pictures) / SCALING
        noisy = wanted + torch.randn_like(wanted) * torch.rand(_BATCH, 1, 1, 1) * (0.15 / SCALING)
        with torch.autocast("cpu", torch.bfloat16):
            found, seen = model.encoder(pictures), model.decoder(noisy)
        difference = seen.float() - pictures
        loss = difference.abs().mean() + difference.pow(2).mean() + 4 * functional.l1_loss(found.float(), wanted)
        learn("autoencoder", loss, model, optimizer, step, _RATE * min(1, (step + 1) / 50, 2 * (steps - step) / steps))
        error = float(difference.detach().pow(2).mean())
        mean = 0.98 * mean + 0.02 * error if mean else error
        progress.show(step + 1, f"PSNR {_psnr(mean):.1f} dB")
        if time.monotonic() - saved > 60 or step + 1 == steps:
            save_checkpoint(path, model, optimizer, step + 1)
            saved = time.monotonic()
    return path


def load_autoencoder(home: Path) -> Any:
    """The trained one. Raises :class:`TrainingError` if there is none."""
    state = read_checkpoint(home / "autoencoder.pt")
    if state is None:
        raise TrainingError(f"{home} holds no autoencoder; run 'make train' first")
    model = build_autoencoder()
    model.load_state_dict(state["model"])
    return model.eval()


@torch.inference_mode()
def measure(dataset: Dataset, home: Path) -> dict[str, float]:
    """PSNR in dB on 200 fresh pictures: the map's plain inverse, the decoder on exact latents, encoder and decoder."""
    model, latents = load_autoencoder(home), latent_map(dataset, home)
    composer = Composer(dataset, random.Random(99))
    pictures = as_tensor([composer.sample()[0] for _ in range(_MEASURED)])
    exact = latents.encode(pictures)
    own = model.encoder(pictures)
    shown = {"linear": latents.decode(exact), "decoder": model.decoder(exact / SCALING), "both": model.decoder(own)}
    return {name: _psnr(float((found.clamp(-1, 1) - pictures).pow(2).mean())) for name, found in shown.items()}


def _psnr(error: float) -> float:
    """For pictures in -1 … 1."""
    return float(10 * torch.log10(torch.tensor(4.0 / max(error, 1e-9))))
