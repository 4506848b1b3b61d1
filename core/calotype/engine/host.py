"""InProcessHost: one engine on one device in this process. Its threads, none of which asyncio ever waits on:

*loading* reads models and probes them; *reading* encodes pictures to start from; *admission* encodes prompts; *engine*
ticks; *finishing* decodes, post-processes and hands over; *telling* reports failures. So a model that is being loaded,
or a large picture that is being read, holds up nobody who needs neither. Plugins run on *admission* (schedules),
*engine* (samplers) and *finishing* (post-processors); the *watchdog* replaces such a thread if a plugin keeps it.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import torch

from calotype.checkpoint import ModelInfo, weights_size
from calotype.engine import memory
from calotype.engine.assignment import Assignment, HostListener
from calotype.engine.conditioning import TextEncoder, notes
from calotype.engine.conditions import conditions
from calotype.engine.denoiser import Denoiser
from calotype.engine.finisher import Finisher
from calotype.engine.models import Key, LoadedModel, load, resolve_device
from calotype.engine.resident import Resident, Residents
from calotype.engine.run import Run
from calotype.engine.shelf import Shelf
from calotype.engine.starting import StartEncoder
from calotype.engine.ticking import Ticking, hung
from calotype.engine.watchdog import Abandoned, Call, Watchdog
from calotype.engine.worker import Worker
from calotype.errors import CalotypeError, ModelError, for_visitors
from calotype.families.network import signature

log = logging.getLogger(__name__)


class InProcessHost:
    """Implements :class:`calotype.engine.assignment.Host` with threads of this process."""

    def __init__(
        self,
        listener: HostListener,
        *,
        device: str,
        threads: int,
        slots: int,
        plugin_seconds: float = 10.0,
        postprocess_seconds: float = 60.0,
        model_memory: int | None = None,
    ) -> None:
        """``plugin_seconds`` may a sampler or a schedule take at a time, ``postprocess_seconds`` a post-processor.

        ``model_memory`` is what loaded models may take, in bytes; None is half of what the device has.
        """
        self.device = resolve_device(device)
        self.threads = threads
        self._listener = listener
        self._seconds = plugin_seconds
        self._shelf = Shelf(
            int(memory.MODELS_SHARE * memory.total(self.device)) if model_memory is None else model_memory
        )
        self._encoder = TextEncoder()
        self._starts = StartEncoder()
        self._residents = Residents()
        torch.set_num_threads(threads)
        set_threads = torch.set_num_threads
        self._loading = ThreadPoolExecutor(1, "loading", initializer=set_threads, initargs=(threads,))
        self._reading = ThreadPoolExecutor(1, "reading", initializer=set_threads, initargs=(threads,))
        self._telling = Worker("telling", threads)
        machine = conditions(self.device, threads)
        self._finisher = Finisher(listener, self._residents, self._fail, machine, threads, postprocess_seconds)
        self._ticking = Ticking(
            listener,
            self._residents,
            self._fail,
            self._finisher.take,
            slots=slots,
            threads=threads,
            seconds=plugin_seconds,
        )
        self._admission = Worker("admission", threads, limit=plugin_seconds, hung=self._admit_no_more)
        watched = (self._admission, self._ticking.worker, self._finisher.worker)
        every = min(0.5, plugin_seconds / 4, postprocess_seconds / 4)
        self._watchdog = Watchdog(watched, every, lambda: log.exception("the watchdog could not look"))

    def preload(self, info: ModelInfo) -> None:
        """Load a model, probe it at its own size, and make one call of everything, so that a first job meets it warm.

        Blocks. Raises :class:`ModelError`.
        """
        self._loading.submit(self._warm_up, info).result()

    def join(self, assignment: Assignment) -> None:
        """See :class:`Host`."""
        resident = Resident(assignment)
        self._residents.add(resident)
        self._admission.submit(partial(self._admit, resident))

    def cancel(self, job_id: str) -> None:
        """See :class:`Host`."""
        resident = self._residents.find(job_id)
        if resident is not None and self._residents.take_out(resident):
            self._ticking.drop(resident)

    def pause(self, job_id: str) -> None:
        """See :class:`Host`."""
        if (resident := self._residents.find(job_id)) is not None:
            self._ticking.pause(resident)

    def resume(self, job_id: str) -> None:
        """See :class:`Host`."""
        if (resident := self._residents.find(job_id)) is not None:
            self._ticking.resume(resident)

    def loaded(self) -> set[str]:
        """See :class:`Host`."""
        return self._shelf.names()

    def close(self, timeout: float = 10.0) -> None:
        """See :class:`Host`. A thread that a plugin keeps for longer than ``timeout`` seconds is left behind, void."""
        self._watchdog.close()
        self._residents.clear()
        self._loading.shutdown(wait=False, cancel_futures=True)
        self._reading.shutdown(wait=False, cancel_futures=True)
        self._ticking.close(timeout)
        for worker in (self._admission, self._finisher.worker, self._telling):
            worker.close(timeout)

    # loading --------------------------------------------------------------------------------------------------

    def _warm_up(self, info: ModelInfo) -> None:
        model = self._load(info)
        size = info.default_size
        inputs = {**self._encoder.encode(model, "").inputs, **model.network.conditions(*size, 1.0)}
        shape = model.latent_shape(*size)
        if info.facts.inpaints:
            inputs["picture"] = torch.zeros(1 + shape[0], *shape[1:])
        model.buckets(Key(shape, signature(inputs)))
        model.decode(torch.zeros(shape))

    def _load(self, info: ModelInfo) -> LoadedModel:
        in_use = self._residents.folders()
        model = self._shelf.find(info)
        if model is None:
            self._shelf.make_room(weights_size(info), in_use)
            model = load(info, self.device)
        self._shelf.keep(model, in_use)
        self._shelf.settle()
        return model

    def _prepare(self, resident: Resident, key: Key | None = None) -> None:
        """Load and probe what a job needs, then let it in. ``key`` says of what shapes its calls are, where known."""
        try:
            if self._residents.has(resident):
                model = self._load(resident.assignment.model)
                if key is not None:
                    model.buckets(key)
                self._admission.submit(partial(self._admit, resident, model))
        except Exception as error:  # noqa: BLE001 - whatever it is, this one job fails and the engine goes on
            self._fail(resident, error)

    # reading --------------------------------------------------------------------------------------------------

    def _read(self, resident: Resident, model: LoadedModel) -> None:
        """Read LoRA files, encode the picture that a job starts from, then let it in."""
        try:
            if self._residents.has(resident):
                adapters = model.network.adapters
                resident.loras = tuple(
                    (adapters.read(f, name), weight) for name, f, weight in resident.assignment.loras
                )
                resident.start = self._starts.encode(model, resident.assignment)
                self._admission.submit(partial(self._admit, resident, model))
        except Exception as error:  # noqa: BLE001 - whatever it is, this one job fails and the engine goes on
            self._fail(resident, error)

    # admission ------------------------------------------------------------------------------------------------

    def _admit(self, resident: Resident, prepared: LoadedModel | None = None) -> None:
        assignment = resident.assignment
        request = assignment.request
        if not self._residents.has(resident):
            return
        try:
            model = prepared or self._shelf.find(assignment.model)
            if model is None:
                self._loading.submit(self._prepare, resident)
                return
            starts = assignment.init_image is not None or model.info.facts.inpaints
            if (resident.start is None and starts) or (resident.loras is None and assignment.loras):
                self._reading.submit(self._read, resident, model)
                return
            prompt, negative = self._encoder.pair(model, request.prompt, request.negative_prompt, resident.loras or ())
            assert request.guidance is not None and request.width and request.height
            given = dict(model.network.conditions(request.width, request.height, request.guidance))
            if resident.start is not None and resident.start.picture is not None:
                given["picture"] = resident.start.picture
            denoiser = Denoiser(
                model,
                {**prompt.inputs, **given},
                {**negative.inputs, **given},
                request.guidance,
                request.guidance_rescale or 0.0,
                resident.loras or (),
            )
            if not model.knows(key := Key(resident.shape(model), denoiser.signature, denoiser.loras)):
                self._loading.submit(self._prepare, resident, key)
                return
            resident.runs = [Run(assignment, index, denoiser, resident.start) for index in range(request.images)]
        except Abandoned:
            raise
        except BaseException as error:  # noqa: BLE001 - a stranger's code may even raise SystemExit
            self._fail(resident, error)
            return
        resident.notes = notes(model, prompt, request, assignment.job_id)
        resident.admitted = time.perf_counter()
        self._ticking.enter(resident)

    def _admit_no_more(self, call: Call) -> None:
        """A schedule hung, or a sampler's calls()."""
        resident = self._residents.find(call.assignment.job_id)
        if resident is not None and resident.assignment is call.assignment:
            self._fail(resident, hung(call, self._seconds))

    # all threads ----------------------------------------------------------------------------------------------

    def _fail(self, resident: Resident, error: BaseException) -> None:
        """Returns at once: the failure is written down by a thread of its own."""
        own = isinstance(error, CalotypeError)
        if self._residents.take_out(resident):
            self._telling.submit(partial(self._listener.failed, resident.assignment, _told(resident, error)))
        told = error if own else type(error).__name__
        log.error("job %s failed: %s", resident.assignment.job_id, told, exc_info=error)


def _told(resident: Resident, error: BaseException) -> str:
    """Why the job failed, for whoever asked. The log has the rest under the job's id."""
    if for_visitors(error):
        return str(error)
    what = "something went wrong while it was made"
    if isinstance(error, ModelError):
        what = f"the model {resident.assignment.model.name} cannot be used"
    return f"{what}; the operator finds the reason in the log under the job's id"
