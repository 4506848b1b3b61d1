"""The command lines of training: what they begin, and one line for what is wrong."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn
from training_house import CHANNELS, House

from calotype_training import progress, sheet, train, unet
from calotype_training.checkpoints import load_checkpoint, save_checkpoint
from calotype_training.errors import TrainingError, first_line
from calotype_training.progress import Progress


def _says(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["train", *arguments])
    train.main()


@pytest.fixture
def asked(house: House, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The house is the training home; what would be trained is noted."""
    told: list[Any] = []
    monkeypatch.setenv("CALOTYPE_TRAINING_HOME", str(house.home))
    monkeypatch.setattr(train, "train_text", lambda *args: told.append(("text", args[2])))
    monkeypatch.setattr(train, "train_autoencoder", lambda *args: told.append(("autoencoder", args[2])))
    monkeypatch.setattr(train, "train_unet", lambda _, plan: told.append(("unet", plan)))
    return told


def test_all_parts_in_their_order(asked: list[Any], house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    _says(monkeypatch, "--text-steps", "7")
    assert asked == [("text", 7), ("autoencoder", 4000), ("unet", unet.Plan(house.home.resolve(), 120))]


def test_one_part_with_its_plan(asked: list[Any], house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    _says(
        monkeypatch, "unet", "--minutes", "20", "--slice-minutes", "9", "--batch", "8", "--channels", "16", "32", "32"
    )
    assert asked == [("unet", unet.Plan(house.home.resolve(), 20, 9, 8, CHANNELS))]


def test_a_part_that_is_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        _says(monkeypatch, "unet", "vae")
    assert "parts: vae is none of text, autoencoder, unet" in capsys.readouterr().err


def test_trouble_is_one_line(asked: list[Any], house: House, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match=r"^train: .* holds .* already; move"):
        _says(monkeypatch, "--from", str(model))
    monkeypatch.setenv("CALOTYPE_TRAINING_HOME", str(house.home / "text"))
    with pytest.raises(SystemExit, match=r"^train: .*dataset\.npz is not there; run 'make dataset' first$"):
        _says(monkeypatch)

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("CALOTYPE_TRAINING_HOME", str(house.home))
    monkeypatch.setattr(train, "train_unet", stopped)
    with pytest.raises(SystemExit, match=r"^train: stopped; run it again to go on from the last checkpoint$"):
        _says(monkeypatch, "unet")


# --- checkpoints


def test_a_checkpoint_and_back(tmp_path: Path) -> None:
    model, other = nn.Linear(3, 2), nn.Linear(3, 2)
    optimizers = [torch.optim.AdamW(each.parameters()) for each in (model, other)]
    model(torch.ones(1, 3)).sum().backward()
    optimizers[0].step()
    assert load_checkpoint(tmp_path / "a.pt", other, optimizers[1]) == 0
    save_checkpoint(tmp_path / "a.pt", model, optimizers[0], 17, more=[1])
    assert load_checkpoint(tmp_path / "a.pt", other, optimizers[1]) == 17
    assert torch.equal(model.weight, other.weight)
    moments = [each.state_dict()["state"][0]["exp_avg"] for each in optimizers]
    assert torch.equal(*moments)
    save_checkpoint(tmp_path / "a.pt", model, optimizers[0], 18)
    torch.save({**torch.load(tmp_path / "a.pt"), "optimizer": None}, tmp_path / "restored.pt")
    assert load_checkpoint(tmp_path / "restored.pt", other, optimizers[1]) == 18


@pytest.mark.parametrize("content", [{}, {"model": {}}, {"model": nn.Linear(2, 2).state_dict(), "step": 1}])
def test_a_checkpoint_of_something_else(tmp_path: Path, content: dict[str, Any]) -> None:
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(TrainingError, match=r"a\.pt is of another model \(.*\); remove it to start anew$"):
        load_checkpoint(tmp_path / "a.pt", nn.Linear(3, 2), None)


def test_the_first_line_of_any_error() -> None:
    assert [first_line(each) for each in (ValueError("a\nb"), EOFError())] == ["a", "EOFError"]


# --- what is to be seen meanwhile


def test_progress_says_how_far_and_how_long(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 1000.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    shown = Progress("baking", 300, begin=100)
    now += 20
    shown.show(140, "warm")
    now += 1
    shown.show(141)  # too soon
    now += 19
    shown.show(150)
    shown.show(300, "done")
    assert capsys.readouterr().out.splitlines() == [
        "baking: 140 of 300, 2.0/s, 80 s left, warm",
        "baking: 150 of 300, 1.2/s, 2 min left",
        "baking: 300 of 300, 5.0/s, 0 s left, done",
    ]


def test_progress_stays_in_its_line_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    shown = Progress("baking", 2)
    shown.show(1)
    shown.show(2)
    assert terminal.getvalue().count("\r") == 1
    assert terminal.getvalue().endswith("\n")


def test_a_sample_sheet(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "PROMPTS", ("cat", "a blue dog"))
    worker = house.worker(unet.Plan(house.home, 1.0, batch=2, channels=CHANNELS))
    sheet.sheet(worker._ema, house.text(), house.latents, tmp_path / "sheets" / "1.png")
    assert Image.open(tmp_path / "sheets" / "1.png").size == (12 * 102, 116)
    assert [path.name for path in (tmp_path / "sheets").iterdir()] == ["1.png"]
