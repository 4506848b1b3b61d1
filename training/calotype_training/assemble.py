"""``make model``: join what was trained into one diffusers folder, fp16 safetensors, with model card and notices."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from calotype_training.autoencoder import load_autoencoder, measure
from calotype_training.captions import SIZES, STYLES
from calotype_training.card import card, notice, weights_name
from calotype_training.checkpoints import read_checkpoint
from calotype_training.concepts import ACCESSORIES, COLOURS, HELD_OUT_FILE
from calotype_training.dataset import Dataset
from calotype_training.errors import TrainingError, first_line
from calotype_training.home import training_home
from calotype_training.unet import SCHEDULER, build_unet

LIMIT: Final = 40 * 2**20
"""Bytes that the folder may have."""
_GLUE: Final = "a an and the with on in of next to wearing background style picture drawing emoji two three"
_SETTINGS: Final = {
    "name": "calotype-emoji",
    "title": "Calotype emoji v1 (embedded, 64 px)",
    "defaults": {
        "steps": 20, "sampler": "dpmpp_2m", "schedule": "normal", "guidance": 4.0, "guidance_rescale": 0.5,
    },
    "sizes": [[64, 64]],
    "postprocess": ["upscale"],
    "examples": [
        "blue cat", "penguin with a top hat", "rocket, 3d style", "pixel portrait of a woman with red hair", "red car",
        "sunflower, flat style",
    ],
}  # fmt: skip
"""``calotype.json``: the settings that the model looks best with."""


def assemble(dataset: Dataset, home: Path, target: Path) -> None:
    """Write the model into ``target``, which is replaced as a whole. Raises :class:`TrainingError`."""
    state = read_checkpoint(home / "unet.pt")
    latents = read_checkpoint(home / "latents.pt")
    if state is None or latents is None or not (home / "text" / "done.json").exists():
        missing = "U-Net" if state is None else "latent map" if latents is None else "text encoder"
        raise TrainingError(f"{home} holds no {missing}; run 'make train' first")
    old = target.with_name(f".{target.name}.old")
    if old.exists() and not target.exists():  # killed between the two renames below
        old.rename(target)
    fresh = target.with_name(f".{target.name}.part")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        _fill(fresh, dataset, home, state, latents)
        size = sum(path.stat().st_size for path in fresh.rglob("*") if path.is_file())
        if size > LIMIT:
            raise TrainingError(f"the model has {size / 2**20:.1f} MB, the limit is 40; choose fewer channels")
        shutil.rmtree(old, ignore_errors=True)
        if target.exists():
            target.rename(old)
        fresh.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise TrainingError(f"{target} could not be written: {first_line(error)}; what was there is intact") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    print(f"{target}: {size / 2**20:.1f} MB, U-Net after {state['seen']:,} pictures")


def _fill(fresh: Path, dataset: Dataset, home: Path, state: dict[str, Any], latents: dict[str, torch.Tensor]) -> None:
    unet = build_unet(tuple(state["channels"]))
    unet.load_state_dict(state["ema"])
    fresh.mkdir(parents=True)
    for part, model in (("unet", unet), ("vae", load_autoencoder(home)), ("text_encoder", _text_encoder(home))):
        model.half().save_pretrained(fresh / part, safe_serialization=True)
    _say_float32(fresh / "text_encoder" / "config.json")
    _copy_tokenizer(home / "text" / "tokenizer", fresh / "tokenizer")
    _write_json(fresh / "scheduler" / "scheduler_config.json", {"_class_name": "DDIMScheduler", **SCHEDULER})
    _write_json(fresh / "model_index.json", _index())
    _write_json(fresh / "vocabulary.json", vocabulary(dataset))
    _write_json(fresh / "calotype.json", _SETTINGS)
    fixed = {name: value.contiguous() for name, value in latents.items()}
    save_file(fixed, fresh / "latents.safetensors")  # to go on training from
    shutil.copy(HELD_OUT_FILE, fresh / "held_out.txt")
    facts = {
        "seen": state["seen"],
        "parameters": sum(p.numel() for p in unet.parameters()),
        "psnr": measure(dataset, home),
        "weights": weights_name(fresh),
        "defaults": _SETTINGS["defaults"],
    }
    (fresh / "README.md").write_text(card(dataset, facts), "utf-8")
    (fresh / "NOTICE").write_text(notice(dataset), "utf-8")
    for path in fresh.rglob("*.safetensors"):
        path.chmod(0o644)  # they are written for their owner alone


def vocabulary(dataset: Dataset) -> dict[str, Any]:
    """What the service needs to tell words that the model knows from those it does not."""
    words = {word for text in (*STYLES, *COLOURS, *ACCESSORIES, _GLUE) for word in text.split()}
    words |= {word for caption in dataset.portrait_captions for word in caption.replace(",", "").split()}
    words |= {word for sizes in SIZES.values() for word in sizes}
    return {
        "concepts": {concept.name: list(concept.synonyms) for concept in dataset.concepts},
        "words": sorted(words),
    }


def _text_encoder(home: Path) -> Any:
    from transformers import CLIPTextModel

    return CLIPTextModel.from_pretrained(home / "text" / "text_encoder", local_files_only=True, dtype=torch.float32)


def _say_float32(path: Path) -> None:
    """Transformers 5 takes the dtype from the configuration: half precision there would not fit the float32 U-Net."""
    config = json.loads(path.read_text("utf-8"))
    config["dtype"] = "float32"
    _write_json(path, config)


def _copy_tokenizer(source: Path, target: Path) -> None:
    """All three forms: transformers 5 writes tokenizer.json only, older readers want vocab.json and merges.txt."""
    target.mkdir(parents=True)
    for name in ("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source / name, target / name)


def _index() -> dict[str, Any]:
    return {
        "_class_name": "StableDiffusionPipeline",
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderTiny"],
    }


def _write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="make model ARGS=...", description=__doc__)
    parser.add_argument("target", nargs="?", type=Path, help="the folder (default: CALOTYPE_TRAINING_HOME/model)")
    given = parser.parse_args()
    try:
        home = training_home()
        assemble(Dataset(home / "dataset.npz"), home, (given.target or home / "model").resolve())
    except TrainingError as error:
        sys.exit(f"model: {error}")


if __name__ == "__main__":
    main()
