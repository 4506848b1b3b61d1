"""The autoencoder learns the fixed latents, goes on after a kill, and is a plain AutoencoderTiny."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from training_house import House

from calotype_training import autoencoder
from calotype_training.autoencoder import SCALING, build_autoencoder, load_autoencoder, train_autoencoder
from calotype_training.checkpoints import read_checkpoint
from calotype_training.errors import TrainingError
from calotype_training.latents import as_tensor
from calotype_training.pictures import Composer


@pytest.fixture
def home(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without an autoencoder yet."""
    monkeypatch.setattr(autoencoder, "_BATCH", 4)
    shutil.copy(house.home / "latents.pt", tmp_path / "latents.pt")
    return tmp_path


@torch.no_grad()
def _errors(model: Any, house: House) -> tuple[float, float]:
    """How far the encoder is from the map's latents, and the decoder from the picture, on fresh pictures."""
    composer = Composer(house.dataset, random.Random(77))
    pictures = as_tensor([composer.sample()[0] for _ in range(16)])
    wanted = house.latents.encode(pictures) / SCALING
    found, seen = model.encoder(pictures), model.decoder(wanted)
    assert found.shape == (16, 12, 16, 16) and seen.shape == pictures.shape
    return float((found - wanted).abs().mean()), float((seen - pictures).pow(2).mean())


def test_both_errors_fall(house: House, home: Path) -> None:
    torch.manual_seed(21)
    before = _errors(build_autoencoder().eval(), house)
    assert train_autoencoder(house.dataset, home, 20) == home / "autoencoder.pt"
    after = _errors(load_autoencoder(home), house)
    assert after[0] < 0.95 * before[0]
    assert after[1] < 0.8 * before[1]


def test_a_kill_is_gone_on_from(
    house: House, home: Path, monkeypatch: pytest.MonkeyPatch, clock: Callable[..., Any]
) -> None:
    save, steps = autoencoder.save_checkpoint, []

    def save_and_die(path: Path, model: Any, optimizer: Any, step: int) -> None:
        save(path, model, optimizer, step)
        steps.append(step)
        if step == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(autoencoder, "time", clock(61.0))  # a checkpoint every step
    monkeypatch.setattr(autoencoder, "save_checkpoint", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        train_autoencoder(house.dataset, home, 4)
    train_autoencoder(house.dataset, home, 4)
    assert steps == [1, 2, 3, 4]
    state = read_checkpoint(home / "autoencoder.pt")
    assert state is not None and state["step"] == 4
    content = (home / "autoencoder.pt").read_bytes()
    train_autoencoder(house.dataset, home, 4)
    assert (home / "autoencoder.pt").read_bytes() == content, "it was done"


def test_a_nan_keeps_the_checkpoint(house: House, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train_autoencoder(house.dataset, home, 1)
    content = (home / "autoencoder.pt").read_bytes()
    monkeypatch.setattr(autoencoder, "as_tensor", lambda _: torch.full((4, 3, 64, 64), float("nan")))
    with pytest.raises(TrainingError, match=r"^autoencoder: the loss is nan at step 1; the last checkpoint is intact$"):
        train_autoencoder(house.dataset, home, 2)
    assert (home / "autoencoder.pt").read_bytes() == content


def test_none_or_a_damaged_one_is_named(house: House, home: Path) -> None:
    with pytest.raises(TrainingError, match="holds no autoencoder; run 'make train' first"):
        load_autoencoder(home)
    (home / "autoencoder.pt").write_bytes((house.home / "autoencoder.pt").read_bytes()[:-3000])
    for use in (lambda: load_autoencoder(home), lambda: train_autoencoder(house.dataset, home, 9)):
        with pytest.raises(TrainingError, match=r"autoencoder\.pt is damaged"):
            use()


def test_one_in_half_precision_is_a_plain_autoencoder(house: House, tmp_path: Path) -> None:
    from diffusers import AutoencoderTiny
    from safetensors.torch import load_file

    model = load_autoencoder(house.home)
    z = torch.randn(2, 12, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = model.decode(z / SCALING).sample
        model.half().save_pretrained(tmp_path, safe_serialization=True)
        loaded = AutoencoderTiny.from_pretrained(tmp_path, low_cpu_mem_usage=False).float()
        found = loaded.decode(z / loaded.config.scaling_factor).sample
        assert loaded.encode(found).latents.shape == z.shape
    assert found.shape == (2, 3, 64, 64)
    torch.testing.assert_close(found, wanted, atol=0.02, rtol=0)
    weights = load_file(tmp_path / "diffusion_pytorch_model.safetensors")
    assert {value.dtype for value in weights.values()} == {torch.float16}


def test_the_measure(model: Path) -> None:
    found = json.loads((model.parent / "measured.json").read_text("utf-8"))
    assert set(found) == {"linear", "decoder", "both"}
    assert found["linear"] > 20 > found["both"] > 0  # the map is good from the beginning; two steps are few
    assert autoencoder._psnr(0.04) == pytest.approx(20.0)
