"""The denoiser stage: a query becomes rows of a model call, their outputs become an estimate of the clean picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import torch

from calotype.engine.models import LoadedModel
from calotype.errors import ModelError
from calotype.sampling import Estimate, Query


class Row(NamedTuple):
    """One row of a model call: ``x`` (C, H, W) as the model wants it, the training step, (T, D) conditioning."""

    x: torch.Tensor
    t: float
    conditioning: torch.Tensor


@dataclass(frozen=True)
class Denoiser:
    """Model, prompt and guidance of one run. A sampler knows nothing of this."""

    model: LoadedModel
    prompt: torch.Tensor
    negative: torch.Tensor
    guidance: float
    guidance_rescale: float

    @property
    def guided(self) -> bool:
        """Whether every query takes two rows."""
        return self.guidance > 1

    def rows(self, query: Query) -> list[Row]:
        """One row with the prompt, and one with the negative prompt where guidance or the query wants it.

        Variance-preserving models take x / sqrt(sigma² + 1) (Karras et al. 2022, table 1).
        """
        x = query.x / sqrt(query.sigma**2 + 1)
        t = self.model.levels.t(query.sigma)
        rows = [Row(x, t, self.prompt)]
        if self.guided or query.unconditional:
            rows.append(Row(x, t, self.negative))
        return rows

    def combine(self, query: Query, outputs: Sequence[torch.Tensor]) -> Estimate:
        """Classifier-free guidance (Ho & Salimans 2022), rescaled by Lin et al. (2023), then to x0."""
        output = outputs[0]
        if self.guided:
            output = outputs[1] + self.guidance * (outputs[0] - outputs[1])
            if self.guidance_rescale > 0:
                matched = output * (outputs[0].std() / output.std())
                output = self.guidance_rescale * matched + (1 - self.guidance_rescale) * output
        unconditional = self._denoised(query, outputs[1]) if query.unconditional else None
        return Estimate(self._denoised(query, output), unconditional)

    def _denoised(self, query: Query, output: torch.Tensor) -> torch.Tensor:
        sigma = query.sigma
        match self.model.info.prediction:
            case "epsilon":
                return query.x - sigma * output
            case "v_prediction":  # Salimans & Ho (2022)
                return query.x / (sigma**2 + 1) - output * (sigma / sqrt(sigma**2 + 1))
            case "sample":
                return output
            case other:
                raise ModelError(f"model: prediction type {other!r} is not known")
