"""Between this process' bus and those of others: what happens anywhere reaches whoever watches.

A note says only that something happened to a job; what it was is read from the ledger: its status, its result, its
latest step. The same look at every watched job, now and then, is the net under lost notes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Final, Protocol

from calotype.bus import Bus, is_final
from calotype.errors import BadRequest
from calotype.events import Cancelled, Event, Failed, Finished, Paused, Started, Stepped
from calotype.job import Job, JobStatus
from calotype.ledger import Ledger
from calotype.ledger.channel import Note
from calotype.ledger.session import Kind, Session
from calotype.ledger.steps import Standing, Step
from calotype.telling import Telling, preview_of

REPEAT: Final = 5.0
"""Seconds after which a process says again which running jobs are watched in it."""
_ANSWERS: Final = {"pause": ("paused", "refused", "ended"), "resume": ("started", "ended")}
"""To what is asked of whoever runs a job."""


class Local(Protocol):
    """What runs jobs in this process: the dispatcher. Called from any thread."""

    @property
    def ready(self) -> bool:
        """Whether its engine is loaded."""
        ...

    def epochs(self) -> dict[str, int]:
        """Jobs that are here."""
        ...

    def lose(self, job_id: str, epoch: int) -> None:
        """That claim holds no more."""
        ...

    def wake(self) -> None:
        """The queue has changed."""
        ...

    def pause_here(self, job_id: str) -> None:
        """Raises :class:`BadRequest`."""
        ...

    def resume_here(self, job_id: str) -> None:
        """Let it go on."""
        ...


@dataclass
class _Told:
    """What those who watch a job here were told of it last."""

    epoch: int = -1
    paused: bool = False
    step: int = -1
    over: bool = False


class Relay:
    """One a process, where several share a ledger. Implements :class:`calotype.bus.Bridge`."""

    def __init__(self, ledger: Ledger, bus: Bus, session: Session, worker: str, lease: float) -> None:
        """``worker`` is this process' name, ``lease`` how many seconds its claims hold."""
        self._ledger, self._bus, self.session = ledger, bus, session
        self._worker, self._renew_every = worker, lease / 3
        self.local: Local | None = None
        self.queue_changed: Callable[[], None] = lambda: None
        """Called, from any thread, when positions may be other ones."""
        self.paused: frozenset[str] = frozenset()
        """Jobs that are paused, wherever they run."""
        self.workers: int | None = None
        """Processes that run jobs and have loaded their engine. None: not looked yet."""
        self._mutex = threading.Lock()
        self._told: dict[str, _Told] = {}
        self._asks: dict[tuple[str, str], list[Future[Step]]] = {}
        self._queue: tuple[int, float] | None = None
        self._repeat = self._renewal = 0.0
        self._begun = session.begun
        self._channel = ledger.channel(session, self._hear)
        self._telling = Telling(ledger.steps, self._channel.say, self._beat)

    def start(self) -> None:
        """Begin to tell and to hear."""
        self._bus.bridge(self)
        self._telling.start()
        self._channel.start()

    def stop(self) -> None:
        """Tell what there is, hear no more, and free what this process held."""
        self._telling.stop()
        self._channel.stop()
        self.session.close()

    def tell(self, kind: str, job_id: str = "") -> None:
        """Send a note, soon; from any thread."""
        self._telling.note(kind, job_id)

    # what happens here ----------------------------------------------------------------------------------------

    def happened_here(self, event: Event) -> None:
        """See :class:`Bridge`."""
        with self._mutex:
            told = self._told.get(event.job_id)
            if told is not None and is_final(event):
                told.over = True
        self._telling.happened(event)

    def watched_here(self, job_id: str) -> None:
        """See :class:`Bridge`."""
        with self._mutex:
            if job_id in self._told:
                return  # whoever runs it knows
            self._told[job_id] = _Told()
        self._telling.note("watch", job_id)

    def is_watched_elsewhere(self, job_id: str) -> bool:
        """See :class:`Bridge`."""
        return self._telling.is_watched(job_id)

    def _beat(self) -> None:
        """Every second: show that this process lives, and find out what it lost."""
        self.session.ping()
        now, local = time.monotonic(), self.local
        if local is None:
            return
        back = self.session.begun != self._begun  # the connection broke: others may take us for gone
        here = local.epochs()
        self._telling.keep(here)
        if local.ready:
            self.session.lock(Kind.READY, self._worker)
        self.session.lock(Kind.WORKER, self._worker)
        if back or now >= self._renewal:
            self._drop_lost(here, self._ledger.leases.renew())
            self._begun, self._renewal = self.session.begun, now + self._renew_every

    def _drop_lost(self, here: dict[str, int], held: dict[str, int]) -> None:
        assert self.local is not None
        for job_id, epoch in here.items():
            if held.get(job_id) != epoch:
                self.local.lose(job_id, epoch)

    # what happens elsewhere -----------------------------------------------------------------------------------

    def _hear(self, notes: Sequence[Note] | None) -> None:
        """On the channel's thread. None: anything may have happened."""
        if notes is None:
            self._look_at_everything()
            return
        about: set[str] = set()
        for note in notes:
            if note.kind == "watch":
                self._telling.watch(note.job_id)
            elif note.kind in ("pause", "resume"):
                self._asked(note)
            elif note.kind in ("new", "ended"):
                self.queue_changed()
                about.add(note.job_id)
                if note.kind == "new" and self.local is not None:
                    self.local.wake()
            else:
                about.add(note.job_id)
        here = self.local.epochs() if self.local is not None else {}
        if here.keys() & about:
            self._drop_lost(here, self._ledger.leases.held())
        if any(note.kind in ("started", "paused", "ended") for note in notes):
            self.paused = self._ledger.steps.look().paused
        self._answer(notes)
        self._look(about & self._watched())

    def _asked(self, note: Note) -> None:
        """A person elsewhere wants a job of ours to stand, or to go on."""
        local = self.local
        if local is None or note.job_id not in local.epochs():
            return
        if note.kind == "resume":
            local.resume_here(note.job_id)
            return
        try:
            local.pause_here(note.job_id)
        except BadRequest as error:
            self._telling.refuse(note.job_id, error.problems[0].message)

    def ask(self, kind: str, job_id: str) -> Future[Step]:
        """Ask whoever runs the job to ``pause`` or ``resume`` it; what its step is when they have answered."""
        answer: Future[Step] = Future()
        with self._mutex:
            self._asks.setdefault((kind, job_id), []).append(answer)
        self._telling.note(kind, job_id)
        return answer

    def _answer(self, notes: Sequence[Note]) -> None:
        answered = {(asked, note.job_id) for note in notes for asked, by in _ANSWERS.items() if note.kind in by}
        with self._mutex:
            asks = {each: self._asks.pop(each) for each in answered if each in self._asks}
        if asks:
            standing = self._ledger.steps.standing({job_id for _, job_id in asks})
            for (_, job_id), answers in asks.items():
                step = standing[job_id].step if job_id in standing else None
                for answer in answers:
                    if answer.set_running_or_notify_cancel():  # else nobody waits any more
                        answer.set_result(step or Step())

    def _look_at_everything(self) -> None:
        found = self._ledger.steps.look()
        self.paused = found.paused
        if found.queue != self._queue:
            self._queue = found.queue
            self.queue_changed()
        alive = self._ledger.alive(Kind.READY)
        self.workers = len(alive)
        if self.local is not None:
            self._drop_lost(self.local.epochs(), self._ledger.leases.held())
            self.local.wake()
        watched = self._watched()
        with self._mutex:
            self._told = {job_id: told for job_id, told in self._told.items() if job_id in watched}
            now = time.monotonic()
            repeat = now >= self._repeat
            if repeat:
                self._repeat = now + REPEAT
        self._look(watched, repeat=repeat)

    def _watched(self) -> set[str]:
        return set(self._bus.watched())

    def _look(self, job_ids: Collection[str], *, repeat: bool = False) -> None:
        """Reads where these stand and tells what is new to those who watch here.

        Whoever runs one draws previews while it is said that somebody looks: at its start, and ``repeat``edly.
        """
        here = self.local.epochs() if self.local is not None else {}
        asked = [job_id for job_id in job_ids if not self._is_over(job_id)]
        if not asked:
            return
        for job_id, standing in self._ledger.steps.standing(asked).items():
            if standing.status.final:
                self._ended(job_id)
                continue
            elsewhere = standing.status is JobStatus.RUNNING and here.get(job_id) != standing.epoch
            if elsewhere and (self._runs(job_id, standing) or repeat):
                self._telling.note("watch", job_id)

    def _is_over(self, job_id: str) -> bool:
        with self._mutex:
            return self._told.setdefault(job_id, _Told()).over

    def _ended(self, job_id: str) -> None:
        job = self._ledger.job(job_id)
        with self._mutex:
            told = self._told.setdefault(job_id, _Told())
            if told.over or job is None:
                return
            told.over = True
        self._bus.deliver(_final(job))

    def _runs(self, job_id: str, standing: Standing) -> bool:
        """Whether nothing was known of this claim."""
        step = standing.step or Step()
        with self._mutex:
            told = self._told.setdefault(job_id, _Told())
            again = told.epoch != standing.epoch
            if again:
                told.step = -1
            begun, paused = again or (told.paused and not step.paused), step.paused and (again or not told.paused)
            stepped = step.steps > 0 and step.step > told.step
            told.epoch, told.paused = standing.epoch, step.paused
            told.step = max(told.step, step.step if step.steps else -1)
        if begun:
            self._bus.deliver(Started(job_id, step.notes))
        if stepped:
            self._bus.deliver(Stepped(job_id, step.step, step.steps, preview_of(step)))
        if paused:
            self._bus.deliver(Paused(job_id))
        return again


def _final(job: Job) -> Event:
    match job.status:
        case JobStatus.FINISHED:
            return Finished(job.id, job.pictures)
        case JobStatus.FAILED:
            return Failed(job.id, job.error or "unknown")
        case _:
            return Cancelled(job.id)
