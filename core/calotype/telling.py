"""What a process has to tell others: notes about its jobs, their latest steps, and that it lives."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from calotype.bus import is_final
from calotype.errors import CalotypeError
from calotype.events import Event, Paused, Preview, Started, Stepped
from calotype.ledger.channel import Note
from calotype.ledger.steps import Step, Steps

PACE: Final = 0.5
"""Seconds between two notes about the steps of one job: NOTIFY makes commits wait for each other."""
WATCHED_FOR: Final = 12.0
"""Seconds for which one word of a watcher elsewhere holds; they repeat it every :data:`~calotype.relay.REPEAT`."""
BEAT: Final = 1.0
log = logging.getLogger(__name__)


@dataclass
class _Job:
    """A job that runs here."""

    step: Step = field(default_factory=Step)
    kind: str | None = None
    """What is to be told of it."""
    told: float = float("-inf")
    """When its steps were told last."""


class Telling:
    """One thread, so that nobody who makes events waits for the database. What cannot be told is dropped.

    Others look at everything now and then, so they miss nothing but time.
    """

    def __init__(self, steps: Steps, say: Callable[[list[Note]], None], beat: Callable[[], None]) -> None:
        """``say`` sends notes; ``beat`` is called every second. Both may raise if the database is away."""
        self._steps, self._say, self._beat = steps, say, beat
        self._mutex = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._notes: dict[Note, None] = {}
        self._jobs: dict[str, _Job] = {}
        self._over: set[str] = set()
        self._watched: dict[str, float] = {}
        """Jobs that somebody watches elsewhere, and until when that holds, by the monotonic clock."""
        self._away = False
        self._thread = threading.Thread(target=self._run, name="telling others", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Tell what there is, and end."""
        with self._mutex:
            self._over.update(self._jobs)  # whatever still ran waits again
            self._jobs.clear()
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(15)

    def note(self, kind: str, job_id: str = "") -> None:
        """Tell others, soon; from any thread."""
        with self._mutex:
            self._notes[Note(kind, job_id)] = None
        self._wake.set()

    def watch(self, job_id: str) -> None:
        """Somebody watches the job elsewhere."""
        with self._mutex:
            now = time.monotonic()
            self._watched = {each: until for each, until in self._watched.items() if until > now}
            self._watched[job_id] = now + WATCHED_FOR

    def is_watched(self, job_id: str) -> bool:
        """Whether anybody does."""
        return self._watched.get(job_id, 0.0) > time.monotonic()

    def happened(self, event: Event) -> None:
        """An event of this process, on its way to others; from any thread."""
        job_id = event.job_id
        with self._mutex:
            if is_final(event):
                self._jobs.pop(job_id, None)
                self._over.add(job_id)
                self._notes[Note("ended", job_id)] = None
            elif isinstance(event, Started | Paused | Stepped):
                job = self._jobs.setdefault(job_id, _Job())
                job.step = _after(job.step, event)
                if not isinstance(event, Stepped):
                    job.kind = "paused" if isinstance(event, Paused) else "started"
                elif self.is_watched(job_id):
                    job.kind = job.kind or "step"
                else:
                    return
            else:
                return
        self._wake.set()

    def refuse(self, job_id: str, reason: str) -> None:
        """It cannot be paused."""
        with self._mutex:
            job = self._jobs.setdefault(job_id, _Job())
            job.step, job.kind = replace(job.step, refusal=reason), "refused"
        self._wake.set()

    def keep(self, job_ids: Collection[str]) -> None:
        """Only these run here."""
        with self._mutex:
            self._jobs = {job_id: job for job_id, job in self._jobs.items() if job_id in job_ids}

    def _run(self) -> None:
        beat = 0.0
        while not self._stopping:
            self._wake.wait(self._pause(beat))
            self._wake.clear()
            now = time.monotonic()
            if now >= beat:
                if self._safely(self._beat):
                    self._away = False
                beat = time.monotonic() + BEAT
            self._safely(self._flush)
        self._safely(self._flush)

    def _pause(self, beat: float) -> float:
        """Seconds until something is due."""
        with self._mutex:
            due = [job.told + PACE for job in self._jobs.values() if job.kind is not None]
        return max(0.0, min([beat, *due]) - time.monotonic())

    def _flush(self) -> None:
        latest, notes, over = self._due()
        if over:
            self._steps.clear(over)
        if latest:
            self._steps.write(latest)
        if notes:
            self._say(notes)

    def _due(self) -> tuple[Mapping[str, Step], list[Note], set[str]]:
        """Takes out what may be told now."""
        now = time.monotonic()
        with self._mutex:
            notes, over = list(self._notes), self._over
            self._notes, self._over = {}, set()
            latest = {}
            for job_id, job in self._jobs.items():
                if job.kind is None or (job.kind == "step" and now < job.told + PACE):
                    continue
                latest[job_id] = job.step
                notes.append(Note(job.kind, job_id))
                job.kind, job.told = None, now
        return latest, notes, over

    def _safely(self, work: Callable[[], None]) -> bool:
        """Whether it was done."""
        try:
            work()
        except (CalotypeError, SQLAlchemyError) as error:
            if not self._away:
                log.warning("other processes cannot be told (%s); trying again", type(error).__name__)
            self._away = True
        except Exception:
            log.exception("other processes cannot be told")
        else:
            return True
        return False


def _after(before: Step, event: Started | Paused | Stepped) -> Step:
    if isinstance(event, Started):
        return replace(before, notes=event.notes or before.notes, paused=False, refusal=None)
    if isinstance(event, Paused):
        return replace(before, paused=True, refusal=None)
    after = replace(before, step=event.step, steps=event.steps)
    if event.preview is None:  # the latest one stays until there is a newer one
        return after
    rgb = event.preview.rgb
    return replace(after, size=(rgb.shape[0], rgb.shape[1]), preview=rgb.tobytes())


def preview_of(step: Step) -> Preview | None:
    """The preview that came with a step from elsewhere."""
    if step.preview is None or step.size is None:
        return None
    import numpy as np

    height, width = step.size
    return Preview(np.frombuffer(step.preview, np.uint8).reshape(height, width, 3))
