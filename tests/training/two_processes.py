"""What the processes of a training run execute in the tests: the real work, with a look at it afterwards.

A module of its own: processes that are started find their function by its name.
"""

from __future__ import annotations

import os
import signal
from typing import Any

import torch

from calotype_training import unet
from calotype_training.dataset import Dataset
from calotype_training.errors import TrainingError

work = unet._work


def work_and_keep(rank: int, processes: int, dataset: Dataset, plan: unet.Plan, meeting: str) -> None:
    """The real work without sample sheets; the weights of each process at the end are kept beside the checkpoint."""
    run = unet.Worker.run

    def run_and_keep(self: unet.Worker) -> None:
        run(self)
        weights = torch.nn.utils.parameters_to_vector(self._unet.parameters()).detach()
        torch.save({"weights": weights, "step": self._step}, plan.home / f"process-{rank}.pt")

    unet.Worker.run = run_and_keep  # type: ignore[method-assign]
    unet.sheet = lambda *_: None
    work(rank, processes, dataset, plan, meeting)


class _Faulty:
    """In place of the worker and of its text encoder: the first process fails while the other waits for its weights."""

    def __init__(self, rank: object, *_: object, **more: object) -> None:
        self._rank = rank

    def run(self) -> None:
        weights = torch.zeros(10)
        torch.distributed.all_reduce(weights)
        if self._rank == 0:
            self.fail()
        torch.distributed.all_reduce(weights)

    def fail(self) -> None:
        raise TrainingError("U-Net: the loss is nan at step 9; the last checkpoint is intact")


class _Dying(_Faulty):
    def fail(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)  # as when the memory runs out


def work_with_a_fault(*args: Any) -> None:
    """The real work of two processes; the first one's worker says what is wrong."""
    unet.Worker = unet.TextEncoder = _Faulty  # type: ignore[misc, assignment]
    work(*args)


def work_and_die(*args: Any) -> None:
    """The real work of two processes; the first one is killed."""
    unet.Worker = unet.TextEncoder = _Dying  # type: ignore[misc, assignment]
    work(*args)
