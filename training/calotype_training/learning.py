"""One step of learning, the same for every part."""

from __future__ import annotations

import math

import torch
from torch import nn

from calotype_training.errors import TrainingError


def learn(
    what: str, loss: torch.Tensor, model: nn.Module, optimizer: torch.optim.Optimizer, step: int, rate: float
) -> float:
    """Follow the gradient of ``loss``, clipped to norm one, at the learning rate ``rate``; the loss.

    Raises :class:`TrainingError` if the loss is no number; then nothing was changed.
    """
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingError(f"{what}: the loss is {value} at step {step}; the last checkpoint is intact")
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return value
