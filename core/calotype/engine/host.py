"""InProcessHost: one engine on one device in this process. Five threads, none of which asyncio ever waits on.

*loading* reads models and probes them; *reading* encodes pictures to start from; *admission* encodes prompts; *engine*
ticks; *finishing* decodes, post-processes and hands over. So a model that is being loaded, or a large picture that is
being read, holds up nobody who needs neither.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import torch

from calotype.checkpoint import ModelInfo
from calotype.engine.assignment import Assignment, HostListener
from calotype.engine.batcher import tick
from calotype.engine.conditioning import TextEncoder, notes
from calotype.engine.denoiser import Denoiser
from calotype.engine.fairness import Service
from calotype.engine.finishing import render
from calotype.engine.models import LoadedModel, load, resolve_device
from calotype.engine.previews import montage
from calotype.engine.resident import Resident
from calotype.engine.run import Run
from calotype.engine.starting import StartEncoder
from calotype.errors import CalotypeError

WARM_MODELS: Final = 2
_PREVIEW_EVERY: Final = 0.1
"""Seconds between previews of one job, at least."""
log = logging.getLogger(__name__)


class InProcessHost:
    """Implements :class:`calotype.engine.assignment.Host` with threads of this process."""

    def __init__(self, listener: HostListener, *, device: str, threads: int, slots: int) -> None:
        self.device = resolve_device(device)
        self.threads = threads
        self._listener = listener
        self._slots = slots
        self._models: dict[str, LoadedModel] = {}
        self._encoder = TextEncoder()
        self._starts = StartEncoder()
        self._residents: dict[str, Resident] = {}
        self._lock = threading.Lock()
        self._commands: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._service = Service()
        self._active: list[Resident] = []
        self._to_finish: list[tuple[Resident, Run]] = []
        self._finished: dict[str, float] = {}
        """Finishing received, by person, over weight."""
        torch.set_num_threads(threads)
        set_threads = torch.set_num_threads
        self._loading = ThreadPoolExecutor(1, "loading", initializer=set_threads, initargs=(threads,))
        self._reading = ThreadPoolExecutor(1, "reading", initializer=set_threads, initargs=(threads,))
        self._admission = ThreadPoolExecutor(1, "admission", initializer=set_threads, initargs=(threads,))
        self._finishing = ThreadPoolExecutor(1, "finishing", initializer=set_threads, initargs=(threads,))
        self._thread = threading.Thread(target=self._loop, name="engine", daemon=True)
        self._thread.start()

    def preload(self, info: ModelInfo) -> None:
        """Load a model, probe it at its own size, and make one call of everything, so that a first job meets it warm.

        Blocks. Raises :class:`ModelError`.
        """
        self._loading.submit(self._warm_up, info).result()

    def join(self, assignment: Assignment) -> None:
        """See :class:`Host`."""
        resident = Resident(assignment)
        with self._lock:
            self._residents[assignment.job_id] = resident
        self._admission.submit(self._admit, resident)

    def cancel(self, job_id: str) -> None:
        """See :class:`Host`."""
        with self._lock:
            resident = self._residents.pop(job_id, None)
        if resident is not None:
            self._commands.put(lambda: self._drop(resident))

    def close(self, timeout: float = 10.0) -> None:
        """See :class:`Host`."""
        with self._lock:
            self._residents.clear()
            self._to_finish.clear()
        self._commands.put(None)
        self._thread.join(timeout)
        self._loading.shutdown(wait=False, cancel_futures=True)
        self._reading.shutdown(wait=False, cancel_futures=True)
        self._admission.shutdown(wait=False, cancel_futures=True)
        self._finishing.shutdown(wait=True, cancel_futures=True)

    # loading --------------------------------------------------------------------------------------------------

    def _warm_up(self, info: ModelInfo) -> None:
        model = self._load(info)
        shape = model.latent_shape(*info.default_size)
        model.buckets(shape)
        self._encoder.encode(model, "")
        model.decode(torch.zeros(shape))

    def _load(self, info: ModelInfo) -> LoadedModel:
        model = self._warm(info) or load(info, self.device)
        with self._lock:
            self._models.pop(str(info.folder), None)
            self._models[str(info.folder)] = model  # the latest used stands last
            while len(self._models) > WARM_MODELS:  # runs that use an evicted one keep it until they end
                self._models.pop(next(iter(self._models)))
        return model

    def _warm(self, info: ModelInfo) -> LoadedModel | None:
        with self._lock:
            return self._models.get(str(info.folder))

    def _prepare(self, resident: Resident, tokens: int | None = None) -> None:
        """Load and probe what a job needs, then let it in. ``tokens`` is the length of its prompt where known."""
        try:
            if self._is_here(resident):
                model = self._load(resident.assignment.model)
                model.buckets(resident.shape(model), tokens)
                self._admission.submit(self._admit, resident, model)
        except Exception as error:  # noqa: BLE001 - whatever it is, this one job fails and the engine goes on
            self._fail(resident, error)

    # reading --------------------------------------------------------------------------------------------------

    def _read(self, resident: Resident, model: LoadedModel) -> None:
        """Encode the picture that a job starts from, then let it in."""
        try:
            if self._is_here(resident):
                resident.start = self._starts.encode(model, resident.assignment)
                self._admission.submit(self._admit, resident, model)
        except Exception as error:  # noqa: BLE001 - whatever it is, this one job fails and the engine goes on
            self._fail(resident, error)

    # admission ------------------------------------------------------------------------------------------------

    def _admit(self, resident: Resident, prepared: LoadedModel | None = None) -> None:
        assignment = resident.assignment
        request = assignment.request
        try:
            model = prepared or self._warm(assignment.model)
            if model is None:
                self._loading.submit(self._prepare, resident)
                return
            prompt, negative = self._encoder.pair(model, request.prompt, request.negative_prompt)
            if not model.knows(resident.shape(model), tokens := prompt.hidden.shape[0]):
                self._loading.submit(self._prepare, resident, tokens)
                return
            if assignment.init_image is not None and resident.start is None:
                self._reading.submit(self._read, resident, model)
                return
            assert request.guidance is not None
            denoiser = Denoiser(
                model, prompt.hidden, negative.hidden, request.guidance, request.guidance_rescale or 0.0
            )
            resident.runs = [Run(assignment, index, denoiser, resident.start) for index in range(request.images)]
        except Exception as error:  # noqa: BLE001 - whatever it is, this one job fails and the engine goes on
            self._fail(resident, error)
            return
        resident.notes = notes(model, prompt, request.prompt, assignment.job_id)
        resident.admitted = time.perf_counter()
        self._commands.put(lambda: self._enter(resident))

    # engine ---------------------------------------------------------------------------------------------------

    def _loop(self) -> None:
        torch.set_num_threads(self.threads)
        while True:
            try:
                command = self._commands.get(block=not self._active)
            except queue.Empty:
                command = self._tick
            if command is None:
                break
            try:
                command()
            except Exception as error:  # noqa: BLE001 - a fault of ours ends the jobs that are here, not the engine
                for resident in list(self._active):
                    self._drop(resident)
                    self._finishing.submit(self._fail, resident, error)  # it writes, which must not hold us up
        for resident in self._active:
            resident.stop()

    def _enter(self, resident: Resident) -> None:
        if self._is_here(resident):
            self._active.append(resident)
            self._service.arrive(resident.assignment.person)

    def _drop(self, resident: Resident) -> None:
        resident.stop()
        if resident in self._active:
            self._leave(resident)

    def _leave(self, resident: Resident) -> None:
        self._active.remove(resident)
        person = resident.assignment.person
        if all(other.assignment.person != person for other in self._active):
            self._service.leave(person)

    def _tick(self) -> None:
        waiting = [run for resident in self._active for run in resident.runs if not run.done]
        chosen = self._service.choose(waiting, self._slots)
        owner = {id(run): resident for resident in self._active for run in resident.runs}
        served = list(dict.fromkeys(owner[id(run)] for run in chosen))
        begun = time.perf_counter()
        for resident in served:
            if not resident.begun:
                resident.begun = begun
                self._listener.started(resident.assignment.job_id, resident.notes)
        faults = tick(chosen)
        spent = time.perf_counter() - begun
        for run, error in faults.items():
            resident = owner[id(run)]
            if resident in self._active:
                self._drop(resident)
                self._finishing.submit(self._fail, resident, error)
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
        for run in stepped:
            if run.done:
                with self._lock:
                    self._to_finish.append((resident, run))
                self._finishing.submit(self._finish_next)
        if all(run.done for run in resident.runs):
            resident.denoised = now
            self._leave(resident)

    # finishing ------------------------------------------------------------------------------------------------

    def _next_to_finish(self) -> tuple[Resident, Run] | None:
        """One picture of the person who received the least finishing: here too a batch holds nobody else up."""
        with self._lock:
            here = [each for each in self._to_finish if self._is_here(each[0])]
            people = {resident.assignment.person for resident, _ in here}
            level = min((self._finished[p] for p in people if p in self._finished), default=0.0)
            self._finished = {person: self._finished.get(person, level) for person in people}
            self._to_finish = here
            if not here:
                return None
            chosen = min(here, key=lambda each: self._finished[each[0].assignment.person])
            self._to_finish.remove(chosen)
            self._finished[chosen[0].assignment.person] += 1 / chosen[0].assignment.weight
            return chosen

    def _finish_next(self) -> None:
        chosen = self._next_to_finish()
        if chosen is None:
            return
        resident, run = chosen
        try:
            resident.pictures[run.index] = render(run, resident.notes)
            if len(resident.pictures) == len(resident.runs) and self._take_out(resident):
                pictures = [resident.pictures[index] for index in sorted(resident.pictures)]
                record = {"device": str(self.device), "threads": self.threads, **resident.record(pictures)}
                self._listener.rendered(resident.assignment, pictures, record)
        except Exception as error:  # noqa: BLE001 - this job fails, with its traceback in the log; others go on
            self._fail(resident, error)

    # all threads ----------------------------------------------------------------------------------------------

    def _is_here(self, resident: Resident) -> bool:
        return self._residents.get(resident.assignment.job_id) is resident

    def _take_out(self, resident: Resident) -> bool:
        with self._lock:
            if not self._is_here(resident):
                return False
            del self._residents[resident.assignment.job_id]
            return True

    def _fail(self, resident: Resident, error: Exception) -> None:
        job_id = resident.assignment.job_id
        log.error("job %s failed: %s", job_id, error, exc_info=error)
        if self._take_out(resident):
            own = isinstance(error, CalotypeError)
            reason = str(error) if own else "something went wrong while it was made; the operator finds it in the log"
            self._listener.failed(resident.assignment, reason)
