"""From a claimed job to what an engine needs for it, and what of that its record names."""

from __future__ import annotations

from typing import Any

from calotype.catalog import Catalog
from calotype.checkpoint import ModelInfo
from calotype.engine.assignment import Assignment
from calotype.errors import BadRequest, CalotypeError
from calotype.images.store import ImageStore
from calotype.job import Job
from calotype.request import Request


def assign(catalog: Catalog, job: Job, store: ImageStore) -> Assignment:
    """Everything an engine needs for a claimed job. Raises :class:`BadRequest` if something is not there any more."""
    request = catalog.resolve(job.request)
    return as_it_stands(catalog, job, request, catalog.model(request), store)


def as_it_stands(catalog: Catalog, job: Job, request: Request, model: ModelInfo, store: ImageStore) -> Assignment:
    """As :func:`assign`, of a resolved request in which no default of today's is filled in.

    Its sampler, schedule and post-processors must be there; parameters that their plugins have not any more are a
    :class:`BadRequest`, as are files that are gone.
    """
    registry = catalog.registry
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
        model=model,
        sampler=registry.samplers[request.sampler],
        sampler_params=catalog.params(request, request.sampler),
        schedule=registry.schedules[request.schedule],
        schedule_params=catalog.params(request, request.schedule),
        postprocess=catalog.postprocess_chain(request),
        reviews=registry.reviews,
        loras=[(name, catalog.loras.find(name), weight) for name, weight in request.loras.items()],
        init_image=None if request.init_image is None else store.path(request.init_image),
        mask=None if request.mask is None else store.path(request.mask),
    )


def plugins_of(catalog: Catalog, assignment: Assignment) -> dict[str, Any]:
    """The plugins that take part in a job, for its record: versions by name, and where their code comes from.

    The sha256 tells what the version of an editable installation does not.
    """
    names = [assignment.sampler.name, assignment.schedule.name, *(p.name for p, _ in assignment.postprocess)]
    infos = catalog.registry.plugins
    taking_part = [info for info in infos if info.on and (info.reviews or set(info.adds) & set(names))]
    return {
        "plugins": {info.name: info.version for info in taking_part},
        "plugin_code": {info.name: {"distribution": info.distribution, "sha256": info.sha256} for info in taking_part},
    }


def is_ours(error: BaseException) -> bool:
    """Whether its one line says it all; anything else wants its traceback in the log."""
    return isinstance(error, CalotypeError)
