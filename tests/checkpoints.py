"""Tiny Stable Diffusion folders with random weights: real class names, real key layout, real files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from calotype.checkpoint import EMBEDDED


def make_sd1(folder: Path, *, seed: int = 0, prediction: str = "epsilon") -> Path:
    """An SD1.x folder of about 1 MB: 4 latent channels, autoencoder ×8, 77 tokens, native size 64×64."""
    import torch
    from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    torch.manual_seed(seed)
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=8,
        norm_num_groups=16,
    )
    vae = AutoencoderKL(
        block_out_channels=(16, 16, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=8,
    )
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=8389,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=77,
            bos_token_id=8387,
            eos_token_id=8388,
            pad_token_id=8388,
        )
    )
    tokenizer = CLIPTokenizer.from_pretrained(EMBEDDED / "tokenizer", model_max_length=77)
    scheduler = PNDMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        skip_prk_steps=True,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type=prediction,
    )
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    # transformers 5 writes tokenizer.json only; older programs and the slow tokenizer want these two as well
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(EMBEDDED / "tokenizer" / name, folder / "tokenizer" / name)
    return folder


def edit_json(path: Path, **changes: object) -> None:
    """Change keys of a JSON file; None removes one."""
    value = json.loads(path.read_text("utf-8"))
    for key, change in changes.items():
        if change is None:
            value.pop(key, None)
        else:
            value[key] = change
    path.write_text(json.dumps(value), "utf-8")
