"""A checkpoint in one safetensors file, with the key names of the original code: Stable Diffusion 1.x, 2.x and XL.

What it is, and how wide and deep, is read from the names and shapes of its keys, without torch; then diffusers' own
converters rename them, and the result is written as a folder in diffusers' layout, once. Every key must find its place:
nothing is left out and nothing is left over but what training kept beside the weights.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from calotype.errors import ModelError
from calotype.families import headers

UNET: Final = "model.diffusion_model."
_VAE: Final = "first_stage_model."
_CLIP: Final = {
    "sd1": ("cond_stage_model.transformer.",), "sd2": ("cond_stage_model.model.",),
    "sdxl": ("conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."),
}  # fmt: skip
_HEAD: Final = 64
"""Channels of an attention head, in all but the U-Net of 1.x, which has eight heads throughout."""


@dataclass(frozen=True)
class Layout:
    """What a file holds: shapes by key, its family, and what its metadata say of it."""

    file: Path
    family: str
    shapes: Mapping[str, Sequence[int]]
    metadata: Mapping[str, str]

    def shape(self, key: str) -> Sequence[int]:
        """Raises :class:`ModelError` if there is no such key."""
        if key not in self.shapes:
            raise ModelError(f"model: {self.file} has no {key}; it is not a whole checkpoint")
        return self.shapes[key]

    def count(self, pattern: str) -> int:
        """How many different numbers stand at the group of the pattern."""
        return len({found[1] for key in self.shapes if (found := re.match(pattern, key))})

    @property
    def prediction(self) -> str:
        """By a marker or the metadata if they say so; else what is usual."""
        told = self.metadata.get("modelspec.prediction_type", "")
        if "v_pred" in self.shapes or told.startswith("v"):
            return "v_prediction"
        return "v_prediction" if self.family == "sd2" and told != "epsilon" else "epsilon"


def look(file: Path) -> Layout:
    """Reads the header. Raises :class:`ModelError` in one line for what is none of these."""
    try:
        header = headers.read(file)
        shapes = {key: [int(side) for side in tensor["shape"]] for key, tensor in header.tensors.items()}
    except OSError as error:
        raise ModelError(f"model: {file} cannot be read: {error.strerror}") from None
    except headers.UNREADABLE as error:
        raise ModelError(f"model: {file} is not a whole safetensors file: {error}; download it again") from None
    for family, prefixes in _CLIP.items():
        if all(_any(shapes, prefix) for prefix in (UNET, _VAE, *prefixes)):
            return Layout(file, family, shapes, header.metadata)
    have = [name for name, prefix in (("a U-Net", UNET), ("an autoencoder", _VAE)) if _any(shapes, prefix)]
    raise ModelError(
        f"model: {file} holds {' and '.join(have) or 'none'} of what a checkpoint of Stable Diffusion 1.x, 2.x or XL "
        "has under the original names (U-Net, autoencoder, text encoder); give a folder in diffusers' layout"
    )


def convert(file: Path, folder: Path) -> Path:
    """Writes ``folder``, whole or not at all; if it is there already, it is taken for what was written before.

    Raises :class:`ModelError`, also for keys that are missing or that nobody knows.
    """
    if folder.is_dir():
        return folder
    layout = look(file)
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        _write(layout, partial)
        partial.rename(folder)
    except OSError as error:
        raise ModelError(f"model: {folder} cannot be written: {error.strerror}; free some disk space") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def _any(keys: Mapping[str, Any], prefix: str) -> bool:
    return any(key.startswith(prefix) for key in keys)


def unet_config(layout: Layout) -> dict[str, Any]:
    """As diffusers' ``UNet2DConditionModel`` takes it."""
    first = layout.shape(f"{UNET}input_blocks.0.0.weight")
    channels, depths, layers = [], [], []
    level: list[tuple[int, int]] = []
    for place in range(1, layout.count(rf"{re.escape(UNET)}input_blocks\.(\d+)\.")):
        resnet = layout.shapes.get(f"{UNET}input_blocks.{place}.0.in_layers.2.weight")
        if resnet is not None:
            depth = layout.count(rf"{re.escape(UNET)}input_blocks\.{place}\.1\.transformer_blocks\.(\d+)\.")
            level.append((resnet[0], depth))
            continue
        channels.append(level[-1][0])
        depths.append(level[-1][1])
        layers.append(len(level))
        level = []
    channels, depths, layers = [*channels, level[-1][0]], [*depths, level[-1][1]], [*layers, len(level)]
    middle = layout.count(rf"{re.escape(UNET)}middle_block\.1\.transformer_blocks\.(\d+)\.")
    attends = next(k for k in layout.shapes if k.startswith(UNET) and k.endswith("attn2.to_k.weight"))
    proj = next(k for k in layout.shapes if k.startswith(UNET) and k.endswith(".proj_in.weight"))
    heads: Any = 8 if layout.family == "sd1" else [max(1, each // _HEAD) for each in channels]
    config: dict[str, Any] = {
        "sample_size": _native(layout),
        "in_channels": first[1],
        "out_channels": layout.shape(f"{UNET}out.2.weight")[0],
        "block_out_channels": channels,
        "layers_per_block": layers[0],
        "down_block_types": ["CrossAttnDownBlock2D" if depth else "DownBlock2D" for depth in depths],
        "up_block_types": ["CrossAttnUpBlock2D" if depth else "UpBlock2D" for depth in reversed(depths)],
        "transformer_layers_per_block": [*(depth or 1 for depth in depths[:-1]), middle or 1],
        "cross_attention_dim": layout.shapes[attends][1],
        "attention_head_dim": heads,
        "use_linear_projection": len(layout.shapes[proj]) == 2,
    }
    label = layout.shapes.get(f"{UNET}label_emb.0.0.weight")
    if label is not None:
        pooled = layout.shape("conditioner.embedders.1.model.text_projection")[1]
        config |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": (label[1] - pooled) // 6,
            "projection_class_embeddings_input_dim": label[1],
        }
    return config


def _native(layout: Layout) -> int:
    """Latents a side that it was trained with."""
    if layout.family == "sd2":
        return 96 if layout.prediction == "v_prediction" else 64
    return 128 if layout.family == "sdxl" else 64


def vae_config(layout: Layout) -> dict[str, Any]:
    """As diffusers' ``AutoencoderKL`` takes it."""
    levels = layout.count(rf"{re.escape(_VAE)}encoder\.down\.(\d+)\.")
    sides = [layout.shape(f"{_VAE}encoder.down.{level}.block.0.conv1.weight")[0] for level in range(levels)]
    return {
        "block_out_channels": sides,
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "layers_per_block": layout.count(rf"{re.escape(_VAE)}encoder\.down\.0\.block\.(\d+)\."),
        "latent_channels": layout.shape(f"{_VAE}post_quant_conv.weight")[0],
        "scaling_factor": 0.13025 if layout.family == "sdxl" else 0.18215,
        "sample_size": 1024 if layout.family == "sdxl" else 512,
    }


def text_configs(layout: Layout) -> Iterator[tuple[str, dict[str, Any]]]:
    """Key prefix of each text encoder, with what transformers' ``CLIPTextConfig`` takes."""
    for prefix in _CLIP[layout.family]:
        openclip = _is_openclip(prefix)
        inner = prefix if openclip else f"{prefix}text_model."
        words = layout.shape(f"{inner}{'token_embedding' if openclip else 'embeddings.token_embedding'}.weight")
        block = f"{inner}transformer.resblocks." if openclip else f"{inner}encoder.layers."
        wide = layout.shape(f"{block}0.mlp.{'c_fc' if openclip else 'fc1'}.weight")[0]
        layers = layout.count(rf"{re.escape(block)}(\d+)\.")
        projection = layout.shapes.get(f"{prefix}text_projection", [words[1], words[1]])
        yield (
            prefix,
            {
                "vocab_size": words[0],
                "hidden_size": words[1],
                "intermediate_size": wide,
                # 2.x takes the hidden states before OpenCLIP's last layer: it is left out, as in diffusers' folders
                "num_hidden_layers": layers - (layout.family == "sd2"),
                "num_attention_heads": max(1, words[1] // _HEAD),
                "max_position_embeddings": 77,
                "hidden_act": "gelu" if openclip else "quick_gelu",
                "projection_dim": projection[1],
                "bos_token_id": words[0] - 2,
                "eos_token_id": words[0] - 1,
                "pad_token_id": 0 if openclip else words[0] - 1,
            },
        )


def _is_openclip(prefix: str) -> bool:
    """Whether the text encoder under this prefix is OpenCLIP's, which fills a text up with other tokens than CLIP."""
    return not prefix.endswith("transformer.")


def _write(layout: Layout, folder: Path) -> None:
    from safetensors.torch import load_file

    from calotype.families import clip_words
    from calotype.families.parts import quiet

    quiet()
    tensors = load_file(layout.file)
    names = ("text_encoder", "text_encoder_2")
    _write_diffusers(layout, folder, tensors)
    for name, (prefix, config) in zip(names, text_configs(layout), strict=False):
        _write_text(folder / name, prefix, config, tensors, projected=name == "text_encoder_2")
        words = folder / name.replace("text_encoder", "tokenizer")
        clip_words.write(words, pad="!" if _is_openclip(prefix) else clip_words.END)
    _write_index(layout, folder)


def _write_diffusers(layout: Layout, folder: Path, tensors: Mapping[str, Any]) -> None:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from diffusers.loaders import single_file_utils as converters

    unet, vae = unet_config(layout), vae_config(layout)
    for name, kind, config, renamed in (
        ("unet", UNet2DConditionModel, unet, converters.convert_ldm_unet_checkpoint),
        ("vae", AutoencoderKL, vae, converters.convert_ldm_vae_checkpoint),
    ):
        network = kind(**config)
        made = renamed(dict(tensors), network.config)
        _fill(name, network, made)
        network.save_pretrained(folder / name)


def _write_text(
    folder: Path, prefix: str, config: dict[str, Any], tensors: Mapping[str, Any], *, projected: bool
) -> None:
    from diffusers.loaders import single_file_utils as converters
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    network = (CLIPTextModelWithProjection if projected else CLIPTextModel)(CLIPTextConfig(**config))
    if not _is_openclip(prefix):
        made = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    else:
        made = converters.convert_open_clip_checkpoint(network, dict(tensors), prefix=prefix)
    known = network.state_dict()
    fitted = {}
    for key, value in made.items():
        name = key if key in known else key.removeprefix("text_model.")
        fitted[name] = value
    last = f"encoder.layers.{config['num_hidden_layers']}."
    kept = {key: value for key, value in fitted.items() if last not in key and not key.endswith("position_ids")}
    if "text_projection.weight" not in known:
        kept.pop("text_projection.weight", None)
    _fill(folder.name, network, kept)
    network.save_pretrained(folder)


def _fill(part: str, network: Any, tensors: Mapping[str, Any]) -> None:
    """Every weight of the network from a tensor of its shape. Raises :class:`ModelError`."""
    known = network.state_dict()
    strange = [key for key in tensors if key not in known]
    missing = [key for key in known if key not in tensors and not key.endswith("position_ids")]
    wrong = [key for key in known if key in tensors and tensors[key].numel() != known[key].numel()]
    for what, keys in (("lacks", missing), ("does not know", strange), ("has another shape for", wrong)):
        if keys:
            raise ModelError(
                f"model: its {part} {what} {len(keys)} of the weights that it should have, such as {keys[0]}"
            )
    dtype = next(iter(tensors.values())).dtype
    network.load_state_dict({key: value.reshape(known[key].shape) for key, value in tensors.items()}, strict=False)
    network.to(dtype)


def _write_index(layout: Layout, folder: Path) -> None:
    import diffusers

    xl = layout.family == "sdxl"
    pipeline = "StableDiffusionXLPipeline" if xl else "StableDiffusionPipeline"
    scheduler: dict[str, Any] = {
        "_class_name": "EulerDiscreteScheduler", "beta_start": 0.00085, "beta_end": 0.012,
        "beta_schedule": "scaled_linear", "num_train_timesteps": 1000, "steps_offset": 1,
        "timestep_spacing": "leading", "prediction_type": layout.prediction,
        "rescale_betas_zero_snr": "ztsnr" in layout.shapes,
    }  # fmt: skip
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler, indent=1), "utf-8")
    index: dict[str, Any] = {
        "_class_name": pipeline, "_diffusers_version": diffusers.__version__,
        "scheduler": ["diffusers", "EulerDiscreteScheduler"], "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"], "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }  # fmt: skip
    if xl:
        index |= {
            "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
            "tokenizer_2": ["transformers", "CLIPTokenizer"], "force_zeros_for_empty_prompt": True,
        }  # fmt: skip
    else:
        index |= {"safety_checker": [None, None], "feature_extractor": [None, None], "requires_safety_checker": False}
    (folder / "model_index.json").write_text(json.dumps(index, indent=1), "utf-8")
