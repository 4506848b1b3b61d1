"""Finishes pictures off the hot path, one at a time: first of the person who received the least finishing."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from calotype.engine.assignment import HostListener
from calotype.engine.finishing import render
from calotype.engine.resident import Fail, Resident, Residents
from calotype.engine.reviewing import KIND
from calotype.engine.run import Run
from calotype.engine.watchdog import Call
from calotype.engine.worker import Worker


class Finisher:
    """Takes runs whose latents are final; reports jobs whose pictures are all there."""

    def __init__(
        self,
        listener: HostListener,
        residents: Residents,
        fail: Fail,
        machine: Mapping[str, Any],
        threads: int,
        seconds: float,
    ) -> None:
        """``machine`` goes into every record. ``seconds`` may a post-processor, or a review, take for one picture."""
        self._listener, self._residents, self._fail, self._machine = listener, residents, fail, machine
        self._seconds = seconds
        self._lock = threading.Lock()
        self._waiting: list[tuple[Resident, Run]] = []
        self._received: dict[str, float] = {}
        """Pictures by person, over weight."""
        self._in_hand: tuple[Resident, Run] | None = None
        self.worker = Worker("finishing", threads, limit=seconds, hung=self._skip)

    def take(self, resident: Resident, run: Run) -> None:
        """Finish a run that is done; from any thread."""
        with self._lock:
            self._waiting.append((resident, run))
        self.worker.submit(self._finish_next)

    def _choose(self) -> tuple[Resident, Run] | None:
        """One picture of the person who received the least finishing: here too a batch holds nobody else up."""
        with self._lock:
            here = [each for each in self._waiting if self._residents.has(each[0])]
            people = {resident.assignment.person for resident, _ in here}
            level = min((self._received[p] for p in people if p in self._received), default=0.0)
            self._received = {person: self._received.get(person, level) for person in people}
            self._waiting = here
            if not here:
                return None
            chosen = min(here, key=lambda each: self._received[each[0].assignment.person])
            self._waiting.remove(chosen)
            self._received[chosen[0].assignment.person] += 1 / chosen[0].assignment.weight
            return chosen

    def _finish_next(self) -> None:
        if (chosen := self._choose()) is not None:
            self._finish(*chosen)

    def _finish(self, resident: Resident, run: Run) -> None:
        self._in_hand = (resident, run)
        try:
            resident.pictures[run.index] = render(run, resident.notes, resident.hung)
            if len(resident.pictures) == len(resident.runs) and self._residents.take_out(resident):
                pictures = [resident.pictures[index] for index in sorted(resident.pictures)]
                record = {**self._machine, **resident.record(pictures)}
                self._listener.rendered(resident.assignment, pictures, record)
        except Exception as error:  # noqa: BLE001 - this job fails, with its traceback in the log; others go on
            self._fail(resident, error)
        self._in_hand = None

    def _skip(self, call: Call) -> None:
        """A post-processor or a review hung: the picture at hand is made once more, without it.

        On the thread that follows. What it means that a review is missing is said in :mod:`calotype.engine.reviewing`.
        """
        assert self._in_hand is not None
        resident, run = self._in_hand
        late = f"it did not come back within {self._seconds:g} s"
        label = next((p.label for p, _ in resident.assignment.postprocess if p.name == call.name), call.name)
        resident.hung[call.name] = late if call.kind == KIND else f"{label} was skipped: {late}"
        if self._residents.has(resident):
            self._finish(resident, run)
