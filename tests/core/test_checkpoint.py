"""Model folders that are not what they should be are refused in one line, without torch."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from calotype.checkpoint import EMBEDDED, SD15_PARAMETERS, inspect
from calotype.errors import ModelError
from checkpoints import edit_json


def test_the_embedded_model_is_described() -> None:
    info = inspect(EMBEDDED)
    assert (info.name, info.family, info.prediction) == ("calotype-emoji", "sd1", "v_prediction")
    assert (info.latent_channels, info.vae_scale, info.tokens) == (12, 4, 24)
    assert info.parameters == 13_820_972
    assert info.relative_cost == info.parameters / SD15_PARAMETERS
    assert info.examples
    assert info.vocabulary is not None
    assert dict(info.vocabulary.concepts)["cat"] == ("kitty", "kitten", "house cat")


def test_a_plain_folder_is_described(tiny_sd1: Path) -> None:
    info = inspect(tiny_sd1)
    assert (info.name, info.family, info.prediction) == ("tiny-sd1", "sd1", "epsilon")
    assert (info.latent_channels, info.vae_scale, info.default_size) == (4, 8, (64, 64))
    assert not info.fixed_sizes
    assert info.vocabulary is None


def _truncate(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _garbage(folder: Path) -> None:
    (folder / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"\xff" * 5000)


def _empty(folder: Path) -> None:
    (folder / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"")


def _pickle(folder: Path) -> None:
    path = folder / "unet" / "diffusion_pytorch_model.safetensors"
    path.rename(path.with_suffix(".bin"))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (shutil.rmtree, "is not a folder"),
        (lambda f: (f / "model_index.json").unlink(), "has no model_index.json"),
        (lambda f: (f / "model_index.json").write_text("{"), "cannot be read as JSON"),
        (lambda f: (f / "model_index.json").write_text("[]"), "does not hold a JSON object"),
        (lambda f: edit_json(f / "model_index.json", _class_name="AuraFlowPipeline"), "supported are StableDiffusion"),
        (_truncate, "its header promises"),
        (_garbage, "its header is damaged"),
        (_empty, "its header is damaged"),
        (_pickle, "holds pickle weights"),
        (lambda f: shutil.rmtree(f / "text_encoder"), "has no text_encoder/config.json"),
        (lambda f: shutil.rmtree(f / "tokenizer"), "has no folder 'tokenizer'"),
        (
            lambda f: edit_json(f / "unet" / "config.json", in_channels=7),
            "takes 7 channels and gives 4; supported are 4, and 9 for inpainting",
        ),
        (lambda f: edit_json(f / "unet" / "config.json", sample_size=None), "without what is needed"),
        (lambda f: edit_json(f / "scheduler" / "scheduler_config.json", prediction_type="flow"), "predicts 'flow'"),
        (lambda f: (f / "calotype.json").write_text('{"defaults": {"steps": 0}}'), "defaults.steps: 0 is too small"),
        (lambda f: (f / "calotype.json").write_text('{"sizes": [[60, 64]]}'), "sizes"),
        (lambda f: (f / "calotype.json").write_text('{"colour": 1}'), "colour: is not a field"),
        (lambda f: (f / "vocabulary.json").write_text('{"concepts": {"cat": "x"}}'), "vocabulary.json: concepts.cat: "),
        (lambda f: (f / "vocabulary.json").write_text('{"words": []}'), "vocabulary.json: concepts: is missing"),
        (lambda f: (f / "vocabulary.json").write_text("[]"), "vocabulary.json does not hold a JSON object"),
    ],
)
def test_damage_is_named(tiny_sd1: Path, tmp_path: Path, damage: Callable[[Path], object], words: str) -> None:
    folder = shutil.copytree(tiny_sd1, tmp_path / "model")
    damage(folder)
    with pytest.raises(ModelError) as caught:
        inspect(folder)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("model: ")
