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


def make_family(folder: Path, family: str, *, seed: int = 0, **more: object) -> Path:
    """A tiny folder of a family by its name, native size 64×64: what ``save_pretrained`` of its pipeline writes."""
    import torch

    torch.manual_seed(seed)
    _MAKERS[family](folder, **more)
    if not (folder / "calotype.json").exists():
        (folder / "calotype.json").write_text(json.dumps({"sizes": [[64, 64], [64, 32]]}))
    return folder


def _unet(**more: object) -> object:
    from diffusers import UNet2DConditionModel

    plain = {
        "sample_size": 8,
        "block_out_channels": (32, 64),
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 32,
        "attention_head_dim": 8,
        "norm_num_groups": 16,
    }
    return UNet2DConditionModel(**{**plain, **more})


def _vae(channels: int = 4, **more: object) -> object:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(16, 16, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=channels,
        norm_num_groups=8,
        **more,
    )


def _clip(width: int = 32, *, projection: bool = False, **more: object) -> object:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    plain = {
        "vocab_size": 8389,
        "hidden_size": width,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "max_position_embeddings": 77,
        "bos_token_id": 8387,
        "eos_token_id": 8388,
        "pad_token_id": 8388,
        "projection_dim": width,
    }
    config = CLIPTextConfig(**{**plain, **more})
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config)


def _words() -> object:
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(EMBEDDED / "tokenizer", model_max_length=77)


def _t5(width: int = 32) -> tuple[object, object]:
    """An encoder, and a tokenizer that spells."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, T5Config, T5EncoderModel

    letters = [chr(code) for code in range(33, 127)]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((letter, -4.0) for letter in ["▁", *letters])]
    spelling = Tokenizer(models.Unigram(vocabulary, unk_id=2))
    spelling.pre_tokenizer = pre_tokenizers.Metaspace()
    spelling.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    words = PreTrainedTokenizerFast(tokenizer_object=spelling, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    config = T5Config(vocab_size=len(vocabulary), d_model=width, d_kv=8, d_ff=64, num_layers=2, num_heads=4)
    return T5EncoderModel(config), words


_SD = {"steps_offset": 1, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def _make_sd(folder: Path, **more: object) -> None:
    """SD1.x; with ``width`` 1024 it is taken for SD2.x."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionInpaintPipeline, StableDiffusionPipeline

    width, channels = int(more.get("width", 32)), int(more.get("channels", 4))
    kind = StableDiffusionPipeline if channels == 4 else StableDiffusionInpaintPipeline
    kind(
        vae=_vae(),
        text_encoder=_clip(width),
        tokenizer=_words(),
        unet=_unet(cross_attention_dim=width, in_channels=channels, out_channels=4),
        scheduler=EulerDiscreteScheduler(**_SD, prediction_type=more.get("prediction", "epsilon")),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


def _make_lcm(folder: Path) -> None:
    from diffusers import LatentConsistencyModelPipeline, LCMScheduler

    LatentConsistencyModelPipeline(
        vae=_vae(),
        text_encoder=_clip(),
        tokenizer=_words(),
        unet=_unet(time_cond_proj_dim=32),
        scheduler=LCMScheduler(**_SD),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


def _make_sdxl(folder: Path) -> None:
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline

    unet = _unet(
        cross_attention_dim=64,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=32 + 6 * 8,
        use_linear_projection=True,
        transformer_layers_per_block=(1, 2),
    )
    StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=_clip(),
        text_encoder_2=_clip(projection=True, hidden_act="gelu"),
        tokenizer=_words(),
        tokenizer_2=_words(),
        unet=unet,
        scheduler=EulerDiscreteScheduler(**_SD),
    ).save_pretrained(folder)


def _make_sd3(folder: Path, *, third: bool = True, shift: float = 3.0) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler, SD3Transformer2DModel, StableDiffusion3Pipeline

    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=16,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=64,
        caption_projection_dim=32,
        pooled_projection_dim=64,
        out_channels=16,
        pos_embed_max_size=16,
    )
    encoder, words = _t5(64) if third else (None, None)
    StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=shift),
        vae=_vae(16, scaling_factor=1.5305, shift_factor=0.0609),
        text_encoder=_clip(projection=True),
        tokenizer=_words(),
        text_encoder_2=_clip(projection=True, hidden_act="gelu"),
        tokenizer_2=_words(),
        text_encoder_3=encoder,
        tokenizer_3=words,
    ).save_pretrained(folder)


def _make_flux(folder: Path, *, guided: bool = True) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline, FluxTransformer2DModel

    transformer = FluxTransformer2DModel(
        patch_size=1,
        in_channels=64,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        guidance_embeds=guided,
        axes_dims_rope=(4, 4, 8),
    )
    encoder, words = _t5(32)
    FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(shift=1.0 if not guided else 3.0, use_dynamic_shifting=guided),
        vae=_vae(16, scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=_clip(),
        tokenizer=_words(),
        text_encoder_2=encoder,
        tokenizer_2=words,
        transformer=transformer,
    ).save_pretrained(folder)


_MAKERS = {
    "sd1": _make_sd,
    "sd2": lambda folder: _make_sd(folder, width=1024, prediction="v_prediction"),
    "inpaint": lambda folder: _make_sd(folder, channels=9),
    "lcm": _make_lcm,
    "sdxl": _make_sdxl,
    "sd3": _make_sd3,
    "sd3_without_t5": lambda folder: _make_sd3(folder, third=False),
    "flux": _make_flux,
    "schnell": lambda folder: _make_flux(folder, guided=False),
}
