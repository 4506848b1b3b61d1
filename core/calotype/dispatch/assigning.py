"""From a claimed job to what an engine needs for it, and what of that its record names."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

from calotype.catalog import Catalog
from calotype.engine.assignment import Assignment
from calotype.errors import BadRequest, CalotypeError
from calotype.images.store import ImageStore
from calotype.job import Job


def assign(catalog: Catalog, job: Job, store: ImageStore) -> Assignment:
    """Everything an engine needs for a claimed job. Raises :class:`BadRequest` if something is not there any more."""
    request, registry = catalog.resolve(job.request), catalog.registry
    assert request.sampler and request.schedule
    if request.init_image is not None and not store.has(request.init_image):
        raise BadRequest.of("init_image", "the file of the picture it starts from is gone")
    if request.mask is not None and not store.has(request.mask):
        raise BadRequest.of("mask", "its file is gone")
    return Assignment(
        job_id=job.id,
        epoch=job.epoch,
        person=job.person,
        weight=job.weight,
        request=request,
        model=catalog.model(request),
        sampler=registry.samplers[request.sampler],
        sampler_params=catalog.params(request, request.sampler),
        schedule=registry.schedules[request.schedule],
        schedule_params=catalog.params(request, request.schedule),
        postprocess=catalog.postprocess_chain(request),
        reviews=registry.reviews,
        init_image=None if request.init_image is None else store.path(request.init_image),
        mask=None if request.mask is None else store.path(request.mask),
    )


def made_with() -> dict[str, Any]:
    """The programs that this service makes pictures with, for the record."""
    versions = {name: version(name) for name in ("calotype", "torch", "diffusers", "transformers")}
    return {"versions": versions, "python": platform.python_version()}


def plugins_of(catalog: Catalog, assignment: Assignment) -> dict[str, str]:
    """Versions of the plugins that take part in a job, by name."""
    names = [assignment.sampler.name, assignment.schedule.name, *(p.name for p, _ in assignment.postprocess)]
    infos = catalog.registry.plugins
    return {info.name: info.version for info in infos if info.on and (info.reviews or set(info.adds) & set(names))}


def is_ours(error: BaseException) -> bool:
    """Whether its one line says it all; anything else wants its traceback in the log."""
    return isinstance(error, CalotypeError)
