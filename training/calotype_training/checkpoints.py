"""Checkpoints that survive a kill at any moment: written beside, then renamed; a damaged one is said so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from calotype_training.errors import TrainingError, first_line
from calotype_training.home import write_whole


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write what :func:`read_checkpoint` reads. Raises :class:`TrainingError`; the one before is intact then."""
    write_whole(path, lambda part: torch.save(state, part))


def save_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, step: int, **more: Any) -> None:
    """Write model, optimizer and step. Raises :class:`TrainingError`; the one before is intact then."""
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step, **more}
    write_state(path, state)


def load_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer | None) -> int:
    """Fill model and optimizer from ``path``; the step it was written at, 0 if there is none.

    Raises :class:`TrainingError` if the file is damaged or of another model.
    """
    state = read_checkpoint(path)
    if state is None:
        return 0
    try:
        model.load_state_dict(state["model"])
        if optimizer is not None and state["optimizer"] is not None:  # a restored model has none
            optimizer.load_state_dict(state["optimizer"])
        return int(state["step"])
    except (KeyError, RuntimeError, ValueError) as error:
        raise TrainingError(f"{path} is of another model ({first_line(error)}); remove it to start anew") from None


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """What ``path`` holds, None if it is not there. Raises :class:`TrainingError` if it is damaged."""
    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise TrainingError(f"{path} is damaged ({first_line(error)}); remove it to start anew") from error
    return state
