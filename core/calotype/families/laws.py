"""What a network's output says of the clean picture, in the coordinates of samplers: x = x0 + sigma · noise."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Final, Protocol

from calotype.errors import ModelError

if TYPE_CHECKING:
    import torch

    from calotype.engine.levels import TrainedLevels

FLOW_STEPS: Final = 1000.0


class Law(Protocol):
    """Between the samplers' coordinates and a network's own."""

    def t(self, sigma: float) -> float:
        """The training step that the network is told."""
        ...

    def begun(self, noise: torch.Tensor, sigma: float) -> torch.Tensor:
        """``x`` of a picture of which nothing is known, by unit noise, at the first level."""
        ...

    def scaled(self, x: torch.Tensor, sigma: float) -> torch.Tensor:
        """``x`` as the network wants it."""
        ...

    def clean(self, x: torch.Tensor, sigma: float, output: torch.Tensor) -> torch.Tensor:
        """The x0 that an output stands for."""
        ...


@dataclass(frozen=True)
class VariancePreserving:
    """z = x / sqrt(sigma² + 1) (Karras et al. 2022, table 1); the output is the noise, v or x0 itself."""

    levels: TrainedLevels
    prediction: str

    def t(self, sigma: float) -> float:
        """By the levels of the training."""
        return self.levels.t(sigma)

    def begun(self, noise: torch.Tensor, sigma: float) -> torch.Tensor:
        """The noise of that level."""
        return noise * sigma

    def scaled(self, x: torch.Tensor, sigma: float) -> torch.Tensor:
        """See the class."""
        return x / sqrt(sigma**2 + 1)

    def clean(self, x: torch.Tensor, sigma: float, output: torch.Tensor) -> torch.Tensor:
        """Raises :class:`ModelError` for a prediction that is not known."""
        match self.prediction:
            case "epsilon":
                return x - sigma * output
            case "v_prediction":  # Salimans & Ho (2022)
                return x / (sigma**2 + 1) - output * (sigma / sqrt(sigma**2 + 1))
            case "sample":
                return output
            case other:
                raise ModelError(f"model: prediction type {other!r} is not known")


class RectifiedFlow:
    """z = (1 - t) x0 + t · noise, the output is noise - x0 (Liu et al. 2023; Esser et al. 2024).

    With sigma = t / (1 - t) and x = z / (1 - t) it is what samplers speak of: Euler's step is the same in both, -log
    sigma is the half log-SNR, and nothing special is needed for stochastic ones.
    """

    def t(self, sigma: float) -> float:
        """0 … 1000."""
        return FLOW_STEPS * sigma / (1 + sigma)

    def begun(self, noise: torch.Tensor, sigma: float) -> torch.Tensor:
        """The path begins at t = 1, where z is noise alone; the highest level is less than a training step from it."""
        return noise * (1 + sigma)

    def scaled(self, x: torch.Tensor, sigma: float) -> torch.Tensor:
        """See the class."""
        return x / (1 + sigma)

    def clean(self, x: torch.Tensor, sigma: float, output: torch.Tensor) -> torch.Tensor:
        """x0 = z - t · v."""
        return (x - sigma * output) / (1 + sigma)
