"""Tiny checkpoints in one file, with the original code's key names: the inverse of what diffusers' converters do."""

from __future__ import annotations

import re
from pathlib import Path

from checkpoints import _clip, _unet


def make_single_file(file: Path, family: str, *, seed: int = 0) -> dict[str, object]:
    """A tiny checkpoint in one file with the original key names; the networks that it was made from, by their names."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    xl = family == "sdxl"
    text = {"vocab_size": 49408, "bos_token_id": 49406, "eos_token_id": 49407, "hidden_size": 64, "projection_dim": 64}
    first = {"num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 96, "max_position_embeddings": 77}
    openclip = {**text, **first, "hidden_act": "gelu", "pad_token_id": 0}
    more = {
        "cross_attention_dim": 128 if xl else 64,
        "norm_num_groups": 32,
        "attention_head_dim": [1, 1],
        "layers_per_block": 2,
    }
    if xl:
        more |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 8,
            "transformer_layers_per_block": (1, 2),
        }
        more |= {"projection_class_embeddings_input_dim": 64 + 6 * 8}
    unet = _unet(**more, **({"use_linear_projection": True} if family != "sd1" else {}))
    if family == "sd1":
        unet = _unet(**{**more, "attention_head_dim": 8})
    from diffusers import AutoencoderKL

    vae = AutoencoderKL(
        block_out_channels=(32, 32, 32, 32),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        layers_per_block=1,
    )
    tensors = {f"model.diffusion_model.{_ldm_unet(key, 2)}": value for key, value in unet.state_dict().items()}
    for key, value in vae.state_dict().items():
        name = _ldm_vae(key)
        tensors[f"first_stage_model.{name}"] = (
            value[..., None, None] if ".attn_1." in name and value.dim() == 2 else value
        )
    parts = {"unet": unet, "vae": vae}
    if family != "sd2":
        prefix = "conditioner.embedders.0.transformer." if xl else "cond_stage_model.transformer."
        parts["text_encoder"] = encoder = _clip(64, **{**text, **first, "pad_token_id": 49407})
        for key, value in encoder.state_dict().items():
            tensors[f"{prefix}text_model.{key.removeprefix('text_model.')}"] = value
    if family != "sd1":
        name, prefix = (
            ("text_encoder_2", "conditioner.embedders.1.model.") if xl else ("text_encoder", "cond_stage_model.model.")
        )
        parts[name] = encoder = _clip(64, projection=xl, **openclip)
        tensors |= {f"{prefix}{key}": value for key, value in _open_clip(encoder.state_dict(), extra=not xl).items()}
    save_file({key: value.contiguous().clone() for key, value in tensors.items()}, file)
    return parts


def _ldm_unet(key: str, layers: int) -> str:
    inner = {
        "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
        "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
    }  # fmt: skip
    outer = {
        "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
        "conv_in": "input_blocks.0.0",
        "conv_norm_out": "out.0", "conv_out": "out.2", "add_embedding.linear_1": "label_emb.0.0",
        "add_embedding.linear_2": "label_emb.0.2",
    }  # fmt: skip
    stem, _, end = key.rpartition(".")
    if stem in outer:
        return f"{outer[stem]}.{end}"
    if found := re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.*)", key):
        place = int(found[2]) * (layers + 1) + int(found[4]) + (found[1] == "down")
        rest = found[5]
        if found[3] == "resnets":
            first, _, last = rest.partition(".")
            rest = f"{inner[first]}.{last}"
        side = "input" if found[1] == "down" else "output"
        return f"{side}_blocks.{place}.{int(found[3] == 'attentions')}.{rest}"
    if found := re.match(r"down_blocks\.(\d+)\.downsamplers\.0\.conv\.(.*)", key):
        return f"input_blocks.{(int(found[1]) + 1) * (layers + 1)}.0.op.{found[2]}"
    if found := re.match(r"up_blocks\.(\d+)\.upsamplers\.0\.conv\.(.*)", key):
        return f"output_blocks.{int(found[1]) * (layers + 1) + layers}.{2 if int(found[1]) else 1}.conv.{found[2]}"
    if found := re.match(r"mid_block\.(resnets|attentions)\.(\d)\.(.*)", key):
        if found[1] == "attentions":
            return f"middle_block.1.{found[3]}"
        first, _, last = found[3].partition(".")
        return f"middle_block.{2 * int(found[2])}.{inner[first]}.{last}"
    raise AssertionError(key)


def _ldm_vae(key: str) -> str:

    key = key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    key = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", key)
    names = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
    if found := re.match(r"(.*)mid_block\.attentions\.0\.(group_norm|to_q|to_k|to_v|to_out\.0)\.(.*)", key):
        return f"{found[1]}mid.attn_1.{names[found[2]]}.{found[3]}"
    key = re.sub(r"down_blocks\.(\d)\.resnets\.", r"down.\1.block.", key)
    key = re.sub(r"down_blocks\.(\d)\.downsamplers\.0\.", r"down.\1.downsample.", key)
    key = re.sub(r"up_blocks\.(\d)\.resnets\.", lambda m: f"up.{3 - int(m[1])}.block.", key)
    return re.sub(r"up_blocks\.(\d)\.upsamplers\.0\.", lambda m: f"up.{3 - int(m[1])}.upsample.", key)


def _open_clip(state: dict[str, object], *, extra: bool) -> dict[str, object]:
    """With one more layer, where it is one that nobody takes."""
    import torch

    names = {
        "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
        "self_attn.out_proj": "attn.out_proj",
    }  # fmt: skip
    found = {"logit_scale": torch.tensor(1.0), "text_projection": torch.eye(64)}
    for whole, value in state.items():
        key = whole.removeprefix("text_model.")
        stem, _, end = key.rpartition(".")
        if key == "text_projection.weight":
            found["text_projection"] = value.T
        elif key == "embeddings.position_embedding.weight":
            found["positional_embedding"] = value
        elif key.startswith("embeddings.token"):
            found["token_embedding.weight"] = value
        elif stem == "final_layer_norm":
            found[f"ln_final.{end}"] = value
        elif ".self_attn.q_proj" in key:
            three = [
                state[next(k for k in state if k.endswith(key.replace("q_proj", each)))]
                for each in ("q_proj", "k_proj", "v_proj")
            ]
            layer = key.split(".")[2]
            found[f"transformer.resblocks.{layer}.attn.in_proj_{end}"] = torch.cat(three)
        elif "_proj" not in key or "out_proj" in key:
            _, _, layer, *rest = stem.split(".")
            found[f"transformer.resblocks.{layer}.{names['.'.join(rest)]}.{end}"] = value
    if extra:
        last = [key for key in found if key.startswith("transformer.resblocks.1.")]
        found |= {key.replace("resblocks.1.", "resblocks.2."): found[key] for key in last}
    return found
