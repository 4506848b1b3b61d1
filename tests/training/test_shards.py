"""A checkpoint in small files and back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from training_house import CHANNELS, House

from calotype_training import shards, unet
from calotype_training.checkpoints import read_checkpoint
from calotype_training.errors import TrainingError
from calotype_training.shards import join, split


def _large(seed: int = 0) -> dict[str, Any]:
    """A state as the U-Net's, of some 40 MB in half precision."""
    generator = torch.Generator().manual_seed(seed)
    groups = {
        group: {f"layer.{number}.weight": torch.randn(250, 999, generator=generator) for number in range(40)}
        | {"bias": torch.randn(7, generator=generator)}
        for group in ("model", "ema")
    }
    about = {"step": 48, "seen": 960, "elapsed": 61.5, "leg": 2, "finished": False, "channels": [64, 128, 224]}
    return {**groups, "optimizer": {"state": {}}, **about}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "unet.pt"
    torch.save(_large(), path)
    return path


@pytest.fixture
def folder(checkpoint: Path, tmp_path: Path) -> Path:
    split(checkpoint, tmp_path / "shards")
    return tmp_path / "shards"


def test_split_and_join(checkpoint: Path, tmp_path: Path) -> None:
    written = split(checkpoint, tmp_path / "shards")
    assert [path.name for path in written] == [f"unet-{number:02d}.safetensors" for number in range(len(written))]
    assert sorted((tmp_path / "shards").iterdir()) == written
    assert len(written) == 3
    assert max(path.stat().st_size for path in written) < 16 * 2**20
    join(tmp_path / "shards", tmp_path / "home" / "unet.pt")
    whole, joined = read_checkpoint(checkpoint), read_checkpoint(tmp_path / "home" / "unet.pt")
    assert whole is not None and joined is not None
    for name in ("step", "seen", "elapsed", "leg", "finished", "channels"):
        assert joined[name] == whole[name]
    assert joined["optimizer"] is None
    for group in ("model", "ema"):
        assert list(joined[group]) == list(whole[group]) or set(joined[group]) == set(whole[group])
        for name, value in whole[group].items():
            assert joined[group][name].dtype == torch.float32
            assert torch.equal(joined[group][name], value.half().float())


def test_training_goes_on_from_shards(house: House, tmp_path: Path) -> None:
    split(house.home / "unet.pt", tmp_path / "shards")
    join(tmp_path / "shards", tmp_path / "unet.pt")
    plan = unet.Plan(tmp_path, 1.0, batch=2, channels=CHANNELS)
    here, there = (house.worker(each) for each in (unet.Plan(house.home, 1.0, batch=2, channels=CHANNELS), plan))
    assert (there._step, there._seen, there._leg) == (here._step, here._seen, here._leg)
    torch.testing.assert_close(there._ema.conv_in.weight, here._ema.conv_in.weight, atol=1e-3, rtol=1e-3)
    there._learn()


def test_one_missing(folder: Path, tmp_path: Path) -> None:
    (folder / "unet-01.safetensors").unlink()
    with pytest.raises(TrainingError, match=r"shards holds 2 shards, 3 were due$"):
        join(folder, tmp_path / "unet.pt")
    assert not (tmp_path / "unet.pt").exists()


def test_none(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds 0 shards, some were due"):
        join(tmp_path, tmp_path / "unet.pt")
    with pytest.raises(TrainingError, match=r"unet\.pt is not there; run 'make train' first"):
        split(tmp_path / "unet.pt", tmp_path)


@pytest.mark.parametrize("keep", [0, 5, 1000, -1])
def test_one_truncated(folder: Path, tmp_path: Path, keep: int) -> None:
    path = folder / "unet-02.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    (tmp_path / "unet.pt").write_text("older")
    with pytest.raises(TrainingError, match=r"unet-02\.safetensors is damaged \(.*\); fetch it again$"):
        join(folder, tmp_path / "unet.pt")
    assert (tmp_path / "unet.pt").read_text() == "older"


def test_one_of_another_checkpoint(folder: Path, tmp_path: Path) -> None:
    torch.save(_large(1) | {"step": 56}, tmp_path / "later.pt")
    split(tmp_path / "later.pt", tmp_path / "later")
    (tmp_path / "later" / "unet-01.safetensors").replace(folder / "unet-01.safetensors")
    with pytest.raises(TrainingError, match="holds shards of different checkpoints; fetch all of them again"):
        join(folder, tmp_path / "unet.pt")
    assert not (tmp_path / "unet.pt").exists()


def test_a_shard_that_cannot_be_written(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / ".unet-00.safetensors.part").mkdir()
    with pytest.raises(TrainingError, match=r"unet-00\.safetensors could not be written: "):
        split(checkpoint, tmp_path)


def test_the_command_line(elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["shards", "join", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"^shards: .* holds 0 shards, some were due$"):
        shards.main()
