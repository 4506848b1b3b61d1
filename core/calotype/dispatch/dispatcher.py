"""Dispatcher: claims fairly, hands to the host, records what comes back. One a process, beside the event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

from calotype.bus import Bus
from calotype.catalog import Catalog
from calotype.dispatch.assigning import assign, is_ours, plugins_of
from calotype.dispatch.listener import Listener
from calotype.dispatch.pausing import Pauses
from calotype.dispatch.positions import Positions
from calotype.dispatch.recording import Recorder, Screen
from calotype.engine.assignment import Assignment, Host, HostListener, Rendered
from calotype.errors import BadRequest, SetupError, for_visitors
from calotype.events import Failed, Finished
from calotype.images.store import ImageStore
from calotype.job import Job
from calotype.ledger import Ledger

_AGAIN: Final = 1.0
"""Seconds after which a database or disk that refused is asked again."""
_NET: Final = 5.0
"""Seconds after which the queue is looked at without being woken: a net, not the way it works."""
log = logging.getLogger(__name__)

T = TypeVar("T")
MakeHost = Callable[[HostListener], Host]


class Dispatcher:
    """Between the ledger and one host. ``make_host`` blocks while the model loads; it runs in a thread.

    ``screen`` says which pictures may be given out.
    """

    def __init__(
        self,
        ledger: Ledger,
        store: ImageStore,
        catalog: Catalog,
        bus: Bus,
        make_host: MakeHost,
        screen: Screen,
        *,
        slots: int,
        residents: int,
        attempts: int = 3,
        only_own: bool = False,
        held: Callable[[], str | None] = lambda: None,
        recall: Callable[[], bool] = lambda: False,
    ) -> None:
        """``attempts``: after so many unclean ends a job is given up. ``held`` says why nothing is claimed just now.

        ``recall`` looks for models that other processes were offered meanwhile: whether there are new ones.
        """
        self._ledger, self._store, self._catalog, self._bus = ledger, store, catalog, bus
        self._make_host = make_host
        self._recorder = Recorder(ledger, store, screen)
        self._slots, self._cap = slots, residents
        self._residents: dict[str, Assignment] = {}
        self._suspected_from = max(1, attempts - 1)
        self._suspects: set[str] = set()
        """Residents in their last attempt. Each runs alone, so that none is blamed for what another one does."""
        self._pauses = Pauses(residents)
        self._denoised: set[str] = set()
        """Residents whose steps are done: they are only to be finished, and cannot be paused any more."""
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._host: Host | None = None
        self._draining = False
        self._only_own = only_own
        self._own: deque[str] = deque()
        self._called_off: set[str] = set()
        self._claiming = False
        self._held, self._recall = held, recall
        self.positions = Positions(ledger, bus, lambda: self._residents)
        self._stopping = threading.Event()
        self.problem: str | None = None
        """Why there is no engine, in one line."""

    @property
    def ready(self) -> bool:
        """Whether the host is up."""
        return self._host is not None

    @property
    def engine(self) -> Dispatcher:
        """It drives the one of this process."""
        return self

    @property
    def held(self) -> str | None:
        """Why nothing is claimed just now, though it will be."""
        return self._held()

    def wake(self) -> None:
        """The queue has changed: look at it now; from any thread."""
        self.positions.changed()
        try:
            self._loop.call_soon_threadsafe(self._wake.set)
        except RuntimeError:  # the loop has ended: whatever is queued waits for the next start
            log.debug("woken after the end")

    def submitted(self, job_id: str) -> None:
        """A job was written down. From the event loop."""
        if self._only_own:
            self._own.append(job_id)
        self.wake()

    def cancel(self, job_id: str) -> None:
        """Take a job off the host, if it is there. From the event loop."""
        self._called_off.add(job_id)
        self._take_off(job_id)

    def _take_off(self, job_id: str) -> None:
        self._forget(job_id)
        if self._host is not None:
            self._host.cancel(job_id)

    def epochs(self) -> dict[str, int]:
        """Jobs that are here, with the epochs of their claims; from any thread."""
        with self._lock:
            return {job_id: assignment.epoch for job_id, assignment in self._residents.items()}

    def lose(self, job_id: str, epoch: int) -> None:
        """That claim holds no more: whatever is made under it nobody wants; from any thread."""

        def drop() -> None:
            if self.epochs().get(job_id) == epoch:
                log.info("job %s is dropped: it was called off, or its lease was lost", job_id)
                self._take_off(job_id)  # not called off: a newer claim of it may be under way here
                self.wake()  # its place is free

        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(drop)

    async def pause(self, job_id: str) -> None:
        """See :meth:`pause_here`."""
        self.pause_here(job_id)

    async def resume(self, job_id: str) -> None:
        """See :meth:`resume_here`."""
        self.resume_here(job_id)

    def pause_here(self, job_id: str) -> None:
        """Let a running job stand where it is; from any thread.

        Raises :class:`BadRequest` if it does not run, or too many are paused.
        """
        with self._lock:
            able = {each: assignment for each, assignment in self._residents.items() if each not in self._denoised}
            new = self._pauses.add(job_id, able)
        if new and self._host is not None:
            self._host.pause(job_id)
            self.wake()  # its slot is free

    def resume_here(self, job_id: str) -> None:
        """Let it go on; from any thread."""
        with self._lock:
            was = self._pauses.discard(job_id)
        if was and self._host is not None:
            self._host.resume(job_id)

    def is_paused(self, job_id: str) -> bool:
        """Whether a job is paused here."""
        return job_id in self._pauses

    async def run(self) -> None:
        """Start the host, then claim until :meth:`stop`."""
        try:
            self._host = await asyncio.to_thread(
                self._make_host, Listener(self._bus, self._rendered, self._failed, self._steps_done)
            )
        except Exception as error:
            self.problem = str(error).splitlines()[0] if str(error) else type(error).__name__
            # our own errors say it all in one line; anything else wants its traceback
            log.exception("the engine could not be started: %s", self.problem, exc_info=not is_ours(error))
            return
        if self._draining:  # stopped while it loaded
            await asyncio.to_thread(self._host.close)
            return
        beside = [asyncio.create_task(self.positions.run()), asyncio.create_task(self._put_back_strays())]
        try:
            while not self._draining:
                self._wake.clear()
                wait = _NET
                try:
                    await self._claim()
                except Exception:  # the database, above all: it may come back, and nobody else would claim
                    log.exception("jobs could not be claimed; trying again in %.0f s", _AGAIN)
                    wait = _AGAIN
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), wait)
        finally:
            for task in beside:
                task.cancel()

    async def stop(self, drain: float) -> None:
        """No new claims; wait up to ``drain`` seconds for what runs; put the rest back into the queue at once."""
        self._draining = True
        deadline = time.monotonic() + drain
        while (left_s := deadline - time.monotonic()) > 0:
            self._wake.clear()
            if self._running() == 0:  # the paused ones are not waited for
                break
            with suppress(TimeoutError):  # woken by every job that ends
                await asyncio.wait_for(self._wake.wait(), left_s)
        self.wake()
        with self._lock:
            left, self._residents = list(self._residents.values()), {}
            self._suspects.clear()
            self._pauses = Pauses(self._cap)
        back = 0
        for assignment in left:
            try:
                back += await asyncio.to_thread(self._ledger.release, assignment.job_id, assignment.epoch)
            except Exception:  # the others are to go back all the same
                log.exception("job %s could not be put back; the next start does it", assignment.job_id)
        if back:
            log.info("%d running jobs went back into the queue", back)
        self._stopping.set()
        if self._host is not None:
            await asyncio.to_thread(self._host.close)

    async def _claim(self) -> None:
        """Fill the slots; beyond them admit whoever has no job here yet, so that a light user never waits long."""
        while not self._draining and len(self._residents) < self._cap and self._held() is None:
            if self._a_suspect_runs():
                return
            self._claiming = True
            try:
                if not await self._claim_some():
                    return
            finally:
                self._claiming = False

    async def _claim_some(self) -> bool:
        """Claim, and take on what was claimed; False if there is nothing to claim."""
        self._called_off.clear()
        jobs = await asyncio.to_thread(self._claim_next, self._running())
        if jobs:
            self.positions.changed()
        for job in jobs:
            await self._take_on(job)
        return bool(jobs)

    async def _take_on(self, job: Job) -> None:
        """Give a claimed job to the host; back, if the service stopped meanwhile."""
        assignment = None
        if not self._draining and job.id not in self._called_off:
            assignment = await asyncio.to_thread(self._assignment, job)
            if assignment is None:
                return
        # either may have come about while the claim was under way, or since
        if self._draining:
            await asyncio.to_thread(self._ledger.release, job.id, job.epoch)
        elif assignment is not None and job.id not in self._called_off:
            self._join(job, assignment)

    async def _put_back_strays(self) -> None:
        """Now and then: what runs here as far as the ledger knows, and does not, goes back into the queue.

        The answer to a claim may be lost although it was written down, and a job that cannot be run may not be failed
        while the database is away. Two looks: what ends between the ledger's word and ours is not meant.
        """
        missing: set[tuple[str, int]] = set()
        while True:
            await asyncio.sleep(_NET)
            try:
                held = await asyncio.to_thread(self._ledger.leases.held)
                here = self.epochs()
                strays = {(job_id, epoch) for job_id, epoch in held.items() if here.get(job_id) != epoch}
                for job_id, epoch in strays & missing:
                    log.warning("job %s was claimed and did not arrive; it goes back into the queue", job_id)
                    await asyncio.to_thread(self._ledger.release, job_id, epoch)
                if strays & missing:
                    self.wake()
            except Exception:  # the database, above all, as for whoever claims
                log.exception("could not look for jobs that did not arrive; trying again in %.0f s", _NET)
            else:
                # one that is being claimed is not missing yet; one that was missing before is
                missing = strays & missing if self._claiming else strays

    def _a_suspect_runs(self) -> bool:
        with self._lock:
            return any(job_id not in self._pauses for job_id in self._suspects)

    def _claim_next(self, running: int) -> list[Job]:
        if not self._only_own:
            return self._ledger.claim(
                1,
                at_most_per_person=1 if running >= self._slots else None,
                loaded=self._loaded(),
                tried_at_most=self._suspected_from - 1 if running else None,
            )
        while self._own:
            job = self._ledger.claim_job(self._own.popleft())
            if job is not None:
                return [job]
        return []

    def _loaded(self) -> set[str]:
        """Names of models that are in memory, or will be for a job that is here."""
        assert self._host is not None
        with self._lock:
            return {*self._host.loaded(), *(each.model.name for each in self._residents.values())}

    def _assignment(self, job: Job) -> Assignment | None:
        """What the host needs for a job; None if it cannot be run any more: it has failed. Reads files."""
        try:
            return self._assign(job)
        except Exception as error:  # a plugin, model or picture it names is no longer there
            log.warning("job %s cannot be run any more: %s", job.id, error, exc_info=not is_ours(error))
            why = str(error) if for_visitors(error) else "the operator finds the reason in the log under the job's id"
            reason = f"it cannot be run any more: {why}"
            if self._ledger.fail(job.id, job.epoch, reason):
                self._bus.publish(Failed(job.id, reason))
            return None

    def _join(self, job: Job, assignment: Assignment) -> None:
        assert self._host is not None
        with self._lock:
            again = job.id in self._residents  # under a claim that was lost meanwhile
            self._residents[job.id] = assignment
            if job.attempts > self._suspected_from:
                self._suspects.add(job.id)
        try:
            if again:
                self._host.cancel(job.id)
            self._host.join(assignment)
        except BaseException:
            self._forget(job.id)  # else it would keep its place for ever
            raise

    def _assign(self, job: Job) -> Assignment:
        try:
            return assign(self._catalog, job, self._store)
        except BadRequest:
            if not self._recall():
                raise
            return assign(self._catalog, job, self._store)

    # what the host's threads report ----------------------------------------------------------------------------

    def _rendered(self, assignment: Assignment, pictures: Sequence[Rendered], record: Mapping[str, Any]) -> None:
        recorded = {**record, **plugins_of(self._catalog, assignment)}
        ended = self._written(assignment, partial(self._recorder.record, assignment, pictures, recorded))
        if ended is not None:
            log.info("job %s %s", assignment.job_id, "finished" if isinstance(ended, Finished) else ended.reason)
            self._bus.publish(ended)

    def _failed(self, assignment: Assignment, reason: str) -> None:
        if self._written(assignment, lambda: self._ledger.fail(assignment.job_id, assignment.epoch, reason)):
            self._bus.publish(Failed(assignment.job_id, reason))

    def _written(self, assignment: Assignment, write: Callable[[], T]) -> T | None:
        """What ``write`` returns, tried again for as long as disk or database refuse and the service runs.

        Nothing new is claimed while results cannot be written: the job keeps its place among the residents. If the
        service stops first, the job is put back, or found running and put back at the next start.
        """
        warned = False
        try:
            while True:
                try:
                    return write()
                except (SetupError, OSError):
                    if not warned:
                        log.exception("job %s cannot be recorded; trying until it can", assignment.job_id)
                        warned = True
                    if self._stopping.wait(_AGAIN):
                        return None
        finally:
            self._gone(assignment.job_id)

    def _gone(self, job_id: str) -> None:
        self._forget(job_id)
        self.wake()

    def _forget(self, job_id: str) -> None:
        with self._lock:
            self._residents.pop(job_id, None)
            self._suspects.discard(job_id)
            self._pauses.discard(job_id)
            self._denoised.discard(job_id)

    def _steps_done(self, job_id: str) -> None:
        with self._lock:
            if job_id in self._residents:
                self._denoised.add(job_id)
                self._pauses.discard(job_id)  # it came too late: the engine passes over it

    def _running(self) -> int:
        with self._lock:
            return self._pauses.running(self._residents)
