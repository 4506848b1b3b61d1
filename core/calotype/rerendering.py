"""Renders jobs again on an engine of its own, beside whatever service there is: no queue, no ledger, no store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, TypeAlias

from calotype.engine.assignment import Assignment, Host, HostListener, Rendered
from calotype.errors import CalotypeError
from calotype.events import Event, Preview, Stepped


class NotMadeAgain(CalotypeError):
    """The job that ended in pictures then does not now."""


@dataclass(frozen=True)
class Again:
    """A picture that was made again, and the record of that."""

    picture: Rendered
    record: Mapping[str, Any]


@dataclass(frozen=True)
class _Failure:
    reason: str


_Told: TypeAlias = tuple[str, "Again | _Failure | tuple[int, int]"]


class _Listener:
    """Implements :class:`HostListener`: passes on from the engine's threads to the one that waits."""

    def __init__(self) -> None:
        self.told: SimpleQueue[_Told] = SimpleQueue()

    def started(self, job_id: str, notes: tuple[str, ...]) -> None:
        """Nothing to tell yet."""

    def stepped(self, job_id: str, step: int, steps: int, preview: Preview | None) -> None:
        """How far it is."""
        self.told.put((job_id, (step, steps)))

    def paused(self, job_id: str) -> None:
        """Nobody pauses."""

    def resumed(self, job_id: str) -> None:
        """Nobody pauses."""

    def wants_preview(self, job_id: str) -> bool:
        """Nobody looks."""
        return False

    def rendered(self, assignment: Assignment, pictures: Sequence[Rendered], record: Mapping[str, Any]) -> None:
        """One picture a job."""
        self.told.put((assignment.job_id, Again(pictures[0], record)))

    def failed(self, assignment: Assignment, reason: str) -> None:
        """It will not be made."""
        self.told.put((assignment.job_id, _Failure(reason)))


def render(
    make_host: Callable[[HostListener], Host], assignments: Sequence[Assignment], tell: Callable[[Event], None]
) -> dict[str, Again]:
    """The one picture of each assignment, by its job id. ``tell`` hears of steps, on this thread, which blocks.

    Raises :class:`NotMadeAgain` if one cannot be made.
    """
    listener = _Listener()
    host = make_host(listener)
    done: dict[str, Again] = {}
    steps = {each.job_id: (0, each.request.steps_done) for each in assignments}
    try:
        for each in assignments:
            host.join(each)
        while len(done) < len(assignments):
            job_id, what = listener.told.get()
            match what:
                case _Failure(reason=reason):
                    raise NotMadeAgain(f"job: it could not be made again: {reason}")
                case Again():
                    done[job_id] = what
                case (step, of):
                    steps[job_id] = (step, of)
                    tell(Stepped(job_id, sum(s for s, _ in steps.values()), sum(n for _, n in steps.values())))
    finally:
        host.close()
    return done
