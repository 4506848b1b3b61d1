"""A job that an engine has taken in."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from calotype.engine.assignment import Assignment, Rendered
from calotype.engine.models import LoadedModel, Shape
from calotype.engine.run import Run
from calotype.engine.starting import Start
from calotype.events import Preview


@dataclass(eq=False)
class Resident:
    """A job that is here: its runs, and when what happened (seconds of the monotonic clock)."""

    assignment: Assignment
    start: Start | None = None
    """The picture that it starts from, once it is encoded; None for a start from noise."""
    runs: list[Run] = field(default_factory=list)
    pictures: dict[int, Rendered] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    joined: float = field(default_factory=time.perf_counter)
    admitted: float = 0.0
    begun: float = 0.0
    denoised: float = 0.0
    model_seconds: float = 0.0
    last_preview: float = 0.0
    shown: Preview | None = None

    @property
    def step(self) -> int:
        """Steps done over all pictures."""
        return sum(run.step for run in self.runs)

    @property
    def steps(self) -> int:
        """Steps there are over all pictures."""
        return sum(run.steps for run in self.runs)

    def shape(self, model: LoadedModel) -> Shape:
        """(C, H, W) of its latents."""
        request = self.assignment.request
        assert request.width and request.height
        return model.latent_shape(request.width, request.height)
