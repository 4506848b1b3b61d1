"""The U-Net learns, goes on where it was stopped, and keeps its last good checkpoint through every trouble."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import two_processes
from training_house import CHANNELS, House

from calotype_training import checkpoints, unet
from calotype_training.checkpoints import read_checkpoint
from calotype_training.dataset import Dataset
from calotype_training.errors import TrainingError
from calotype_training.unet import Plan, Stream, Worker, train_unet

Clock = Callable[..., Any]


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., Plan]:
    """Plans in a home of their own. On the tests' clock a minute is some twenty steps."""
    return lambda minutes=1.0, **more: Plan(tmp_path, minutes, **{"batch": 2, "channels": CHANNELS, **more})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> list[Path]:
    """No wall clock, no sample sheets: their paths are noted."""
    sheets: list[Path] = []
    monkeypatch.setattr(unet, "time", clock(2.0))
    monkeypatch.setattr(unet, "sheet", lambda *args: sheets.append(args[3]))
    return sheets


def _state(plan: Plan) -> dict[str, Any]:
    state = read_checkpoint(plan.checkpoint)
    assert state is not None
    return state


def test_the_loss_falls_and_the_run_is_kept_with_its_average(
    house: House, plan: Callable[..., Plan], quick: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    losses: list[float] = []
    learn = Worker._learn
    monkeypatch.setattr(Worker, "_learn", lambda self: losses.append(learn(self)) or losses[-1])
    monkeypatch.setattr(unet, "_RATE", 20 * unet._RATE)  # it begins with a hundredth of it
    chosen = plan(1.2, batch=4)
    worker = house.worker(chosen)
    before = worker._unet.conv_in.weight.detach().clone()
    worker.run()
    assert 24 <= len(losses) <= 32
    assert np.mean(losses[-8:]) < 0.9 * np.mean(losses[:8])
    state = _state(chosen)
    assert (state["finished"], state["leg"], state["channels"]) == (True, 0, list(CHANNELS))
    assert state["step"] == len(losses) and state["step"] % 8 == 0
    assert state["seen"] == state["step"] * 4
    assert state["elapsed"] >= 72
    kept, now = state["ema"]["conv_in.weight"], state["model"]["conv_in.weight"]
    assert torch.equal(now, worker._unet.conv_in.weight)
    # the average lies between where it began and where it is
    assert 0 < (kept - before).norm() < (now - before).norm()
    assert quick == [chosen.home / "sheets" / f"{state['seen']:09d}.png"]


def test_a_slice_goes_on_in_the_same_run_and_a_finished_run_begins_the_next(
    house: House, plan: Callable[..., Plan]
) -> None:
    sliced = plan(slice_minutes=0.3)
    told = []
    for _ in range(3):
        worker = house.worker(sliced)
        begin = (worker._step, worker._elapsed, worker._leg)
        worker.run()
        state = _state(sliced)
        told.append((begin, state["step"], state["elapsed"], state["leg"], state["finished"]))
    (
        (begin_1, step_1, elapsed_1, *rest_1),
        (begin_2, step_2, elapsed_2, *rest_2),
        (begin_3, step_3, elapsed_3, *rest_3),
    ) = told
    assert begin_1 == (0, 0.0, 0)
    assert begin_2 == (step_1, elapsed_1, 0)
    assert begin_3 == (step_2, elapsed_2, 0)
    assert 0 < step_1 < step_2 < step_3
    assert 18 <= elapsed_1 < elapsed_1 + 18 <= elapsed_2 < 60 <= elapsed_3
    assert (rest_1, rest_2, rest_3) == ([0, False], [0, False], [0, True])
    fresh = house.worker(sliced)
    assert (fresh._step, fresh._elapsed, fresh._leg, fresh._seen) == (step_3, 0.0, 1, step_3 * 2)
    assert fresh._optimizer.state_dict()["state"], "the optimizer goes on too"


def test_the_learning_rate_falls_over_the_whole_run(house: House, plan: Callable[..., Plan]) -> None:
    """It is the run's share that counts, not the slice's."""
    worker = house.worker(plan())
    worker._step, rates = 1000, []
    for share in (0.0, 0.5, 0.8, 1.0):
        worker._elapsed = share * 60
        worker._learn()
        rates.append(worker._optimizer.param_groups[0]["lr"])
    assert rates[0] == rates[1] == pytest.approx(unet._RATE)
    assert rates[2] == pytest.approx(unet._RATE / 2)
    assert rates[3] == pytest.approx(unet._RATE / 100)


def test_a_slice_shows_other_pictures_than_the_one_before(house: House, plan: Callable[..., Plan]) -> None:
    sliced = plan(slice_minutes=0.2)
    first = house.worker(sliced)
    seen = next(first._data)[0]
    first.run()
    assert not torch.equal(seen, next(house.worker(sliced)._data)[0])


def test_the_stream(dataset: Dataset) -> None:
    def drawn(seed: int) -> list[tuple[bytes, str]]:
        return [(picture.tobytes(), caption) for picture, caption in islice(Stream(dataset, seed), 400)]

    samples = drawn(1)
    assert samples[:50] == drawn(1)[:50]
    assert samples[:5] != drawn(2)[:5]
    assert 20 < sum(not caption for _, caption in samples) < 70  # for guidance


def test_the_last_training_step_has_no_signal() -> None:
    alphas = unet._alphas()
    assert alphas.shape == (1000,)
    assert alphas[-1] == 0 and 0.99 < alphas[0] < 1
    assert (alphas.diff() < 0).all()


# --- trouble


@pytest.fixture
def begun(house: House, tmp_path: Path) -> Path:
    """A home with a good checkpoint and the text encoder."""
    shutil.copytree(house.home, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_a_loss_that_is_no_number(house: House, begun: Path, plan: Callable[..., Plan]) -> None:
    before = (begun / "unet.pt").read_bytes()
    worker = house.worker(plan())
    step = worker._step
    with torch.no_grad():
        worker._unet.conv_out.bias.fill_(float("nan"))
    with pytest.raises(TrainingError, match=rf"^U-Net: the loss is nan at step {step}; the last checkpoint is intact$"):
        worker._learn()
    assert (begun / "unet.pt").read_bytes() == before


@pytest.mark.parametrize("damage", [lambda content: content[:-5000], lambda content: content[:100], lambda _: b""])
def test_a_damaged_checkpoint_is_named(
    house: House, begun: Path, plan: Callable[..., Plan], damage: Callable[[bytes], bytes]
) -> None:
    path = begun / "unet.pt"
    path.write_bytes(damage(path.read_bytes()))
    left = path.read_bytes()
    with pytest.raises(TrainingError, match=r"unet\.pt is damaged \(.*\); remove it to start anew$"):
        house.worker(plan())
    assert path.read_bytes() == left


def test_a_checkpoint_of_other_channels_is_named(house: House, begun: Path, plan: Callable[..., Plan]) -> None:
    before = (begun / "unet.pt").read_bytes()
    with pytest.raises(TrainingError, match=r"unet\.pt is of a U-Net with channels \[16, 32, 32\]; remove it"):
        house.worker(plan(channels=(16, 16, 32)))
    assert (begun / "unet.pt").read_bytes() == before


def test_a_full_disk_keeps_the_checkpoint_before(
    house: House, begun: Path, plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (begun / "unet.pt").read_bytes()

    def full(state: object, part: Path) -> None:
        part.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoints.torch, "save", full)
    with pytest.raises(TrainingError, match=r"unet\.pt could not be written: the disk is full; make room"):
        house.worker(plan(0.2)).run()
    assert (begun / "unet.pt").read_bytes() == before
    assert not list(begun.glob(".*.part"))


def test_no_text_encoder(house: House, plan: Callable[..., Plan], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no trained text encoder; run 'make train' first"):
        House(tmp_path, house.dataset, house.latents).text()


# --- two processes


def test_a_process_whose_parent_was_killed_ends_and_writes_nothing(
    house: House, begun: Path, plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (begun / "unet.pt").read_bytes()
    worker = house.worker(plan())
    monkeypatch.setattr(os, "getppid", lambda: -1)
    with pytest.raises(TrainingError, match="the process that began it has ended; run it again to go on"):
        worker.run()
    assert (begun / "unet.pt").read_bytes() == before


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.cuda.is_available():
        pytest.skip("a GPU trains in one process")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.mark.usefixtures("two_cores")
def test_two_processes_end_together_and_agree(
    house: House, begun: Path, plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unet, "_work", two_processes.work_and_keep)
    began = _state(plan())
    train_unet(house.dataset, plan(0.005))
    state, (first, second) = _state(plan()), (torch.load(begun / f"process-{rank}.pt") for rank in (0, 1))
    steps = state["step"] - began["step"]
    assert steps > 0 and state["finished"] and state["leg"] == began["leg"] + 1
    assert first["step"] == second["step"] == state["step"]
    assert state["seen"] - began["seen"] == steps * 2 * 2
    torch.testing.assert_close(first["weights"], second["weights"], rtol=0, atol=0)
    assert not torch.equal(state["model"]["conv_in.weight"], began["model"]["conv_in.weight"])


@pytest.mark.usefixtures("two_cores")
@pytest.mark.parametrize(
    ("work", "words"),
    [
        (two_processes.work_with_a_fault, r"^U-Net: the loss is nan at step 9; the last checkpoint is intact$"),
        (two_processes.work_and_die, r"^U-Net: .+; the last checkpoint is intact, run it again to go on$"),
    ],
)
def test_a_fault_in_one_process_ends_both_and_is_told(
    house: House, begun: Path, plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch, work: Any, words: str
) -> None:
    before = (begun / "unet.pt").read_bytes()
    monkeypatch.setattr(unet, "_work", work)
    with pytest.raises(TrainingError, match=words):
        train_unet(house.dataset, plan(60))
    assert (begun / "unet.pt").read_bytes() == before
