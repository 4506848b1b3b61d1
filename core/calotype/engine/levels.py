"""The noise levels a model was trained on, from its scheduler_config.json. numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from calotype.errors import ModelError

SIGMA_LIMIT: Final = 100.0
"""Where the levels of a zero-terminal-SNR model end. Above it a step says nothing: pictures of the embedded model are
the same to the eye with limits of 15 … 6400, but Karras' schedule would spend half its steps there."""


class TrainedLevels:
    """sigma(t) of a discrete variance-preserving schedule: sqrt((1 - alpha_bar) / alpha_bar), interpolated in log.

    Implements :class:`calotype.NoiseLevels`. Under zero terminal SNR (Lin et al. 2023, Algorithm 1) the last
    step has no signal and an infinite sigma: the levels then end at :data:`SIGMA_LIMIT`.
    """

    def __init__(self, alpha_bars: NDArray[np.floating[Any]]) -> None:
        sigmas = np.sqrt(np.maximum(1 - alpha_bars, 0) / np.maximum(alpha_bars, 1e-30))
        sigmas = sigmas[sigmas <= SIGMA_LIMIT]
        if len(sigmas) < 2 or not np.all(np.diff(sigmas) > 0):
            raise ModelError("model: scheduler_config.json gives noise levels that do not rise")
        self._log_sigmas = np.log(sigmas)
        self._grid = np.arange(len(sigmas), dtype=np.float64)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TrainedLevels:
        """From the keys that diffusers writes: num_train_timesteps, beta_start, beta_end, beta_schedule, …"""
        alpha_bars = np.cumprod(1 - _betas(config))
        if config.get("rescale_betas_zero_snr"):
            roots = np.sqrt(alpha_bars)
            roots = (roots - roots[-1]) * roots[0] / (roots[0] - roots[-1])
            alpha_bars = roots**2
        return cls(alpha_bars)

    @property
    def steps(self) -> int:
        """Training steps with a finite noise level."""
        return len(self._grid)

    @property
    def sigma_min(self) -> float:
        """Noise level of training step 0."""
        return float(np.exp(self._log_sigmas[0]))

    @property
    def sigma_max(self) -> float:
        """Noise level of the last step."""
        return float(np.exp(self._log_sigmas[-1]))

    def sigma(self, t: float) -> float:
        """Noise level at training step ``t``."""
        return float(np.exp(np.interp(t, self._grid, self._log_sigmas)))

    def t(self, sigma: float) -> float:
        """Training step of a noise level; clamped to the range."""
        return float(np.interp(np.log(max(sigma, 1e-10)), self._log_sigmas, self._grid))


class FlowLevels:
    """sigma(t) of a model trained on straight paths, 1000 training steps, shifted towards noise (Esser et al. 2024).

    Implements :class:`calotype.NoiseLevels`. Time is t' = s·t / (1 + (s - 1)·t), so sigma = t' / (1 - t') is s times
    what it was. The last step is noise alone, of infinite sigma: the levels end at the one before it.
    """

    def __init__(self, shift: float = 1.0, steps: int = 1000) -> None:
        if not 0 < shift < np.inf:
            raise ModelError(f"model: scheduler_config.json says shift {shift}; a number above 0 is due")
        self._shift, self._steps = shift, steps

    @property
    def steps(self) -> int:
        """Training steps."""
        return self._steps

    @property
    def sigma_min(self) -> float:
        """Noise level of training step 0."""
        return self.sigma(0)

    @property
    def sigma_max(self) -> float:
        """The last finite one."""
        return self._shift * (self._steps - 1)

    def sigma(self, t: float) -> float:
        """Noise level at training step ``t``, of which the first is 1 / steps of the way."""
        way = (min(max(t, 0.0), self._steps - 1) + 1) / self._steps
        return min(self._shift * way / (1 - way), self.sigma_max) if way < 1 else self.sigma_max

    def t(self, sigma: float) -> float:
        """Training step of a noise level; clamped to the range."""
        plain = max(sigma, 0.0) / self._shift
        return min(max(self._steps * plain / (1 + plain) - 1, 0.0), self._steps - 1.0)


def _betas(config: Mapping[str, Any]) -> NDArray[np.floating[Any]]:
    steps = int(config.get("num_train_timesteps", 1000))
    start, end = float(config.get("beta_start", 1e-4)), float(config.get("beta_end", 0.02))
    if config.get("trained_betas") is not None:
        return np.asarray(config["trained_betas"], dtype=np.float64)
    match config.get("beta_schedule", "linear"):
        case "linear":
            return np.linspace(start, end, steps)
        case "scaled_linear":
            return np.square(np.linspace(start**0.5, end**0.5, steps))
        case "squaredcos_cap_v2":  # Nichol & Dhariwal (2021)
            bars = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2
            betas: NDArray[np.floating[Any]] = np.minimum(1 - bars[1:] / bars[:-1], 0.999)
            return betas
        case other:
            raise ModelError(f"model: beta_schedule {other!r} is not known")
