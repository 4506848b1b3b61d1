"""What an engine is given, and what it gives back. No torch here: whoever dispatches need not have it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from calotype.checkpoint import ModelInfo
from calotype.events import Preview
from calotype.postprocess import PostProcessor
from calotype.request import Request
from calotype.review import Refusal, Reviews
from calotype.sampling import Params, Sampler, Schedule


@dataclass(frozen=True)
class Assignment:
    """One claimed job with everything it needs at hand: the engine looks nothing up."""

    job_id: str
    epoch: int
    person: str
    weight: float
    request: Request
    """Resolved."""
    model: ModelInfo
    sampler: Sampler
    sampler_params: Params
    schedule: Schedule
    schedule_params: Params
    postprocess: Sequence[tuple[PostProcessor, Params]] = ()
    init_image: Path | None = None
    """PNG file of the picture to start from, RGB, of any size; it stays where it is while the job runs."""
    reviews: Reviews = field(default_factory=Reviews)
    """Plugins that look at every finished picture."""
    loras: Sequence[tuple[str, Path, float]] = ()
    """Name, file and weight of each LoRA that it is made with."""
    mask: Path | None = None
    """PNG file of which part of that picture is repainted: what is white in it."""


@dataclass(frozen=True)
class Rendered:
    """One finished picture as a PNG file, not yet stored. If a review refused it, the file is empty."""

    index: int
    seed: int
    png: bytes
    width: int
    height: int
    notes: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall time of its stages: decode, postprocess, review if there is one, png."""
    refusal: Refusal | None = None
    refused_by: str = ""
    """The plugin whose refusal it is."""


class HostListener(Protocol):
    """Who hears of an engine's progress. Called from the engine's threads: be quick in all but ``rendered``."""

    def started(self, job_id: str, notes: tuple[str, ...]) -> None:
        """The first model call of this job is about to be made. ``notes`` is what is known of its pictures already."""
        ...

    def stepped(self, job_id: str, step: int, steps: int, preview: Preview | None) -> None:
        """``step`` of ``steps`` are done, over all pictures of the job."""
        ...

    def paused(self, job_id: str) -> None:
        """It takes part in no further model call until it is resumed."""
        ...

    def resumed(self, job_id: str) -> None:
        """It takes part again."""
        ...

    def wants_preview(self, job_id: str) -> bool:
        """Whether anybody would see a preview."""
        ...

    def rendered(self, assignment: Assignment, pictures: Sequence[Rendered], record: Mapping[str, Any]) -> None:
        """All pictures are done. Called on the side worker, off the hot path; storing them is up to the callee."""
        ...

    def failed(self, assignment: Assignment, reason: str) -> None:
        """The job cannot be done. ``reason`` is for its person; the traceback is in the log."""
        ...


class Host(Protocol):
    """Runs an engine: in this process, later on another machine. Every method returns at once."""

    def join(self, assignment: Assignment) -> None:
        """Take a job in; it takes part from the next tick on."""
        ...

    def cancel(self, job_id: str) -> None:
        """Drop a job; it takes part in no further tick and nothing more is heard of it."""
        ...

    def pause(self, job_id: str) -> None:
        """Let a job stand where it is; it costs its latents only. One whose steps are all done ends nevertheless."""
        ...

    def resume(self, job_id: str) -> None:
        """Let a paused job go on where it stood; its pictures are the same as without the pause."""
        ...

    def loaded(self) -> Collection[str]:
        """Names of the models that are in memory."""
        ...

    def close(self, timeout: float = 10.0) -> None:
        """Stop the threads. What was not rendered is dropped."""
        ...
