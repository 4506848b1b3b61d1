"""A model folder gives its parts back to a training home."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from training_house import CHANNELS, House

from calotype_training import unet
from calotype_training.autoencoder import load_autoencoder, train_autoencoder
from calotype_training.errors import TrainingError
from calotype_training.latents import latent_map
from calotype_training.restore import restore
from calotype_training.text import TextEncoder, train_text


def test_training_goes_on_from_a_model(model: Path, house: House, tmp_path: Path) -> None:
    restore(model, tmp_path)
    latents = latent_map(house.dataset, tmp_path)
    assert torch.equal(latents.forward, house.latents.forward)
    assert train_text(house.dataset, tmp_path, 4000) == tmp_path / "text"
    assert train_autoencoder(house.dataset, tmp_path, 4000) == tmp_path / "autoencoder.pt"
    text = TextEncoder(tmp_path / "text", torch.device("cpu"))
    torch.testing.assert_close(text(["a cat"]), house.text()(["a cat"]), atol=0.02, rtol=0.02)
    weight = load_autoencoder(tmp_path).decoder.layers[0].weight
    torch.testing.assert_close(weight, load_autoencoder(house.home).decoder.layers[0].weight, atol=1e-3, rtol=1e-3)
    plan = unet.Plan(tmp_path, 1.0, batch=2, channels=CHANNELS)
    worker = unet.Worker(0, 1, plan, house.dataset, latents, text, torch.device("cpu"))
    assert (worker._step, worker._leg, worker._elapsed) == (0, 1, 0.0)
    kept = torch.load(house.home / "unet.pt", weights_only=True)["ema"]["conv_in.weight"]
    torch.testing.assert_close(worker._unet.conv_in.weight, kept, atol=1e-3, rtol=1e-3)
    worker._learn()


@pytest.mark.parametrize("name", ["unet.pt", "autoencoder.pt", "latents.pt", "text"])
def test_parts_of_two_models_are_not_mixed(model: Path, house: House, tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir() if name == "text" else shutil.copy(house.home / name, tmp_path / name)
    with pytest.raises(TrainingError, match=rf"holds {name} already; move them away to begin with"):
        restore(model, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    "damage",
    [
        shutil.rmtree,
        lambda folder: (folder / "latents.safetensors").unlink(),
        lambda folder: _truncate(folder / "unet" / "diffusion_pytorch_model.safetensors"),
        lambda folder: shutil.copy(
            folder / "unet" / "diffusion_pytorch_model.safetensors",
            folder / "vae" / "diffusion_pytorch_model.safetensors",
        ),
        lambda folder: (folder / "unet" / "config.json").write_text("{}"),
        lambda folder: shutil.rmtree(folder / "tokenizer"),
    ],
)
def test_a_folder_that_is_no_model_is_named(model: Path, tmp_path: Path, damage: Callable[[Path], object]) -> None:
    folder = shutil.copytree(model, tmp_path / "model")
    damage(folder)
    with pytest.raises(TrainingError, match=r"model is not a model that 'make model' wrote: .+") as caught:
        restore(folder, tmp_path / "home")
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "home").glob("*.pt"))
    assert not (tmp_path / "home" / "text").exists()
