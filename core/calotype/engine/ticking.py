"""The engine's thread: between commands it ticks. All of its state is touched by this one thread at a time.

If a sampler hangs, another thread takes its place and goes on with the same state. That is consistent: the thread was
given up inside the sampler's code, so of all runs only the culprit's is in the middle of something. Its neighbours
stand before a query that was not answered yet, or after it. What was not answered is asked again, in another company,
and the answer is the same bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

from calotype.engine.assignment import HostListener
from calotype.engine.batcher import tick
from calotype.engine.fairness import Service
from calotype.engine.previews import montage
from calotype.engine.resident import Fail, Resident, Residents
from calotype.engine.run import Run
from calotype.engine.watchdog import Call
from calotype.engine.worker import Worker
from calotype.errors import SamplerMisbehaved
from calotype.sampling import Sampling

_PREVIEW_EVERY: Final = 0.1
"""Seconds between previews of one job, at least."""
Finish = Callable[[Resident, Run], None]


def hung(call: Call, seconds: float) -> SamplerMisbehaved:
    """The reason that a job's person is told."""
    told = f"{call.kind} {call.name}: it did not come back within {seconds:g} s, so the job was given up"
    return SamplerMisbehaved(f"{told}; choose another {call.kind}, the operator finds more in the log")


class Ticking:
    """The residents that take part, and their ticks. Its methods return at once; from any thread."""

    def __init__(
        self,
        listener: HostListener,
        residents: Residents,
        fail: Fail,
        finish: Finish,
        *,
        slots: int,
        threads: int,
        seconds: float,
    ) -> None:
        """``slots`` runs share a model call. ``seconds`` may a sampler take from one query to its next."""
        self._listener, self._residents, self._fail, self._finish = listener, residents, fail, finish
        self._slots, self._seconds = slots, seconds
        self._service = Service()
        self._active: list[Resident] = []
        self._buried: list[Sampling | None] = []
        """Generators of samplers that hung. They are kept: letting go of one runs its code, on whatever thread."""
        self.worker = Worker(
            "engine",
            threads,
            limit=seconds,
            hung=self._go_on_without,
            busy=self._busy,
            between=self._tick,
            fault=self._fault,
        )

    def enter(self, resident: Resident) -> None:
        """It takes part from the next tick on."""
        self.worker.submit(partial(self._enter, resident))

    def drop(self, resident: Resident) -> None:
        """It takes part in no further tick."""
        self.worker.submit(partial(self._drop, resident))

    def pause(self, resident: Resident) -> None:
        """It takes part in no further tick until it is resumed; it keeps its latents."""
        self.worker.submit(partial(self._pause, resident))

    def resume(self, resident: Resident) -> None:
        """It takes part again, where it stood."""
        self.worker.submit(partial(self._resume, resident))

    def close(self, timeout: float) -> None:
        """End."""
        self.worker.close(timeout, self._end)

    # commands -------------------------------------------------------------------------------------------------

    def _enter(self, resident: Resident) -> None:
        if self._residents.has(resident):
            self._active.append(resident)
            if not resident.paused:
                self._service.arrive(resident.assignment.person)

    def _drop(self, resident: Resident) -> None:
        if resident in self._active:
            self._leave(resident)
        resident.stop()

    def _leave(self, resident: Resident) -> None:
        self._active.remove(resident)
        person = resident.assignment.person
        theirs = [other for other in self._active if other.assignment.person == person]
        if not theirs:
            self._service.leave(person)
        elif all(other.paused for other in theirs):
            self._service.pause(person)

    def _pause(self, resident: Resident) -> None:
        if resident.paused or resident.denoised or not self._residents.has(resident):
            return  # with all steps done it takes part in no tick: nothing is left to be paused, and it is finished
        resident.paused = True
        person = resident.assignment.person
        if all(other.paused for other in self._active if other.assignment.person == person):
            self._service.pause(person)
        self._listener.paused(resident.assignment.job_id)

    def _resume(self, resident: Resident) -> None:
        if not resident.paused or not self._residents.has(resident):
            return
        resident.paused = False
        if resident in self._active:
            self._service.arrive(resident.assignment.person)
        self._listener.resumed(resident.assignment.job_id)

    def _end(self) -> None:
        for resident in self._active:
            resident.stop()

    # ticks ----------------------------------------------------------------------------------------------------

    def _busy(self) -> bool:
        return any(not resident.paused for resident in self._active)

    def _tick(self) -> None:
        taking_part = [resident for resident in self._active if not resident.paused]
        waiting = [run for resident in taking_part for run in resident.runs if not run.done]
        chosen = self._service.choose(waiting, self._slots)
        owner = {id(run): resident for resident in taking_part for run in resident.runs}
        served = list(dict.fromkeys(owner[id(run)] for run in chosen))
        begun = time.perf_counter()
        for resident in served:
            if not resident.begun:
                resident.begun = begun
                self._listener.started(resident.assignment.job_id, resident.notes)
        faults = tick(chosen)
        spent = time.perf_counter() - begun
        failed = {owner[id(run)]: error for run, error in faults.items()}
        for resident, error in failed.items():  # all of them first: a sampler may hang when it is closed
            self._fail(resident, error)
        for resident in failed:
            self._drop(resident)
        for resident in served:
            resident.tick_seconds += spent
            if resident in self._active:
                self._report(resident, [run for run in resident.runs if run in chosen])

    def _report(self, resident: Resident, stepped: list[Run]) -> None:
        job_id, now = resident.assignment.job_id, time.perf_counter()
        if now - resident.last_preview >= _PREVIEW_EVERY and self._listener.wants_preview(job_id):
            resident.last_preview = now
            for run in stepped:
                run.draw_preview()
            tiles = [run.preview for run in resident.runs if run.preview is not None]
            resident.shown = montage(tiles) if tiles else None
        # the latest one goes with every step: a watcher keeps only the latest event, and must not lose it
        self._listener.stepped(job_id, resident.step, resident.steps, resident.shown)
        for run in resident.runs:
            if run.done and run.index not in resident.handed_over:
                resident.handed_over.add(run.index)
                self._finish(resident, run)
        if all(run.done for run in resident.runs):
            resident.denoised = now
            self._leave(resident)

    # faults ---------------------------------------------------------------------------------------------------

    def _go_on_without(self, call: Call) -> None:
        """A sampler hung. The first that the next thread does: what the tick it hung in would still have done."""
        culprit = next((each for each in self._active if each.assignment is call.assignment), None)
        culprit = culprit or self._residents.find(call.assignment.job_id)
        if culprit is not None and culprit.assignment is call.assignment:
            self._buried.extend(run.bury() for run in culprit.runs)
            self._fail(culprit, hung(call, self._seconds))
        for resident in list(self._active):
            if not self._residents.has(resident):
                self._drop(resident)
            elif resident.begun and not resident.paused:
                self._report(resident, [])

    def _fault(self, error: BaseException) -> None:
        """A fault of ours ends the jobs that are here, not the engine."""
        for resident in self._active:
            self._fail(resident, error)
        for resident in list(self._active):
            self._drop(resident)
