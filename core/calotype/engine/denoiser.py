"""The denoiser stage: a query becomes rows of a model call, their outputs become an estimate of the clean picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch

from calotype.engine.masks import Held
from calotype.engine.models import LoadedModel
from calotype.families.adapters import Chosen
from calotype.families.network import Inputs, Signature, signature
from calotype.sampling import Estimate, Query


class Row(NamedTuple):
    """One row of a model call: ``x`` (C, H, W) as the model wants it, the training step, the other inputs."""

    x: torch.Tensor
    t: float
    inputs: Inputs


@dataclass(frozen=True)
class Denoiser:
    """Model, prompt, guidance and mask of one run. A sampler knows nothing of this.

    ``prompt`` and ``negative`` are the inputs of their rows, of the same shapes.
    """

    model: LoadedModel
    prompt: Inputs
    negative: Inputs
    guidance: float
    guidance_rescale: float
    loras: Chosen = ()
    held: Held | None = None
    """What of the picture must not change, if part of it."""

    @property
    def guided(self) -> bool:
        """Whether every query takes two rows."""
        return self.model.info.rows(self.guidance) == 2

    @cached_property
    def signature(self) -> Signature:
        """Shapes of its rows' inputs."""
        return signature(self.prompt)

    def rows(self, query: Query) -> list[Row]:
        """One row with the prompt, and one with the negative prompt where guidance or the query wants it."""
        law = self.model.network.law
        x, t = law.scaled(self._x(query), query.sigma), law.t(query.sigma)
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

    def _x(self, query: Query) -> torch.Tensor:
        """What the model sees: the query's x, where part of the picture is held with that part put in."""
        return query.x if self.held is None else self.held.noised(query.x, query.sigma)

    def _denoised(self, query: Query, output: torch.Tensor) -> torch.Tensor:
        clean = self.model.network.law.clean(self._x(query), query.sigma, output)
        return clean if self.held is None else self.held.clean(clean)
