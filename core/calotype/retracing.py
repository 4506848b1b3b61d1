"""From a file or a job's id to everything that is needed to make its pictures again, exactly as they were asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from calotype.catalog import Catalog
from calotype.checkpoint import ModelInfo
from calotype.dispatch.assigning import as_it_stands
from calotype.engine.assignment import Assignment
from calotype.errors import BadRequest
from calotype.images.intake import UPLOAD_LIMIT, read_picture
from calotype.images.store import ImageStore, name_of
from calotype.job import Job, JobStatus, Picture
from calotype.ledger import LedgerReader
from calotype.postprocess import PIXEL_LIMIT, PostProcessor
from calotype.request import Request
from calotype.verifying import Difference

_JOB: Final = re.compile(r"[0-9a-f]{32}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_FILE_LIMIT: Final = 4 * PIXEL_LIMIT
"""Bytes: no picture that is delivered here has a larger file."""
_NEEDED: Final = ("sampler", "schedule", "steps", "guidance", "seed", "width", "height", "model")


@dataclass(frozen=True)
class Subject:
    """A job and those of its pictures that are to be made again."""

    job: Job
    pictures: tuple[Picture, ...]
    files: Mapping[int, bytes]
    """PNG files by the pictures' index, as far as they are there and whole."""
    problems: Mapping[int, str]
    """Why there is none, by index."""
    removed: frozenset[int] = frozenset()
    """Those whose files the operator removed."""


def find(reader: LedgerReader, store: ImageStore, what: str, index: int | None = None) -> Subject:
    """What a file's path, a job's id or a picture's sha256 means. ``index`` is one of the job's pictures, from 0.

    Raises :class:`BadRequest` for anything that no picture was made of here.
    """
    path = Path(what)
    given = _read(path) if path.exists() and not _JOB.fullmatch(what) else None
    if given is not None:
        job = reader.drawn_by(name_of(given)) or _unknown_file(reader, path, given)
    elif _SHA256.fullmatch(what):
        job = _known(reader.drawn_by(what), "no picture of that sha256 was made here")
    elif _JOB.fullmatch(what):
        job = _known(reader.job(what), f"{what} is not in this history")
    else:
        shown = what if len(what) <= 60 else f"{what[:60]}…"
        raise BadRequest.of("job", f"{shown!r} is neither a file nor an id; ids are 32 digits, 0-9 and a-f")
    _must_have_finished(job)
    sha256 = name_of(given) if given is not None else what if _SHA256.fullmatch(what) else None
    pictures = tuple(p for p in job.pictures if index in (None, p.index) and sha256 in (None, p.sha256))
    if not pictures:
        last = len(job.pictures) - 1
        raise BadRequest.of("index", f"{index} is not that of such a picture; the job's are 0 to {last}")
    _must_not_start_from_removed(reader, store, job.request)
    files, problems, removed = {}, {}, set()
    for picture in pictures[:1] if sha256 else pictures:
        try:
            files[picture.index] = given if given is not None else _kept(store, picture.sha256)
        except ValueError as error:
            problems[picture.index] = str(error)
            if not store.has(picture.sha256) and reader.removed(picture.sha256):
                problems[picture.index] = "its file was removed by the operator, so only its sha256 can be compared"
                removed.add(picture.index)
    return Subject(job, pictures[:1] if sha256 else pictures, files, problems, frozenset(removed))


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise BadRequest.of("file", f"{str(path)!r} is a folder; give a picture's file")
        with path.open("rb") as file:
            data = file.read(_FILE_LIMIT + 1)
    except OSError as error:
        raise BadRequest.of("file", f"{str(path)!r} cannot be read: {error.strerror}") from None
    if len(data) > _FILE_LIMIT:
        raise BadRequest.of("file", f"{str(path)!r} is larger than any picture made here ({_FILE_LIMIT >> 20} MiB)")
    return data


def _unknown_file(reader: LedgerReader, path: Path, data: bytes) -> Job:
    if reader.took_in(name_of(data)):
        raise BadRequest.of("file", f"{str(path)!r} was brought here to start from; it was not made here")
    if len(data) <= UPLOAD_LIMIT:
        read_picture(data, "file")
    raise BadRequest.of(
        "file",
        f"{str(path)!r} is not, byte for byte, a picture of this history: it was saved anew or edited, made "
        "elsewhere, or its job was erased; give the job's id if you know it",
    )


def _known(job: Job | None, otherwise: str) -> Job:
    if job is None:
        raise BadRequest.of("job", f"{otherwise}; it was made elsewhere, or erased")
    return job


def _must_have_finished(job: Job) -> None:
    match job.status:
        case JobStatus.QUEUED | JobStatus.RUNNING:
            raise BadRequest.of("job", f"{job.id} is still {job.status.value}; verify it when it has finished")
        case JobStatus.FAILED:
            raise BadRequest.of("job", f"{job.id} failed, so there is no picture: {job.error}")
        case JobStatus.CANCELLED:
            raise BadRequest.of("job", f"{job.id} was cancelled, so there is no picture")
        case JobStatus.FINISHED:
            return


def _must_not_start_from_removed(reader: LedgerReader, store: ImageStore, request: Request) -> None:
    for field, sha256 in (("init_image", request.init_image), ("mask", request.mask)):
        if sha256 is not None and not store.has(sha256) and reader.removed(sha256):
            raise BadRequest.of(field, "it was removed by the operator, so what started from it cannot be made again")


def _kept(store: ImageStore, sha256: str) -> bytes:
    """Raises ValueError that says why there is none."""
    try:
        data = store.get(sha256)
    except KeyError:
        raise ValueError("its file is no longer kept here, so only its sha256 can be compared") from None
    except OSError as error:
        raise ValueError(f"its file cannot be read ({error.strerror}), so only its sha256 can be compared") from None
    if name_of(data) != sha256:
        raise ValueError("its file in the image store is damaged, so only its sha256 can be compared")
    return data


def retrace(
    catalog: Catalog, store: ImageStore, subject: Subject, picture: Picture, model: ModelInfo | None = None
) -> tuple[Assignment, list[Difference]]:
    """How to make one picture again, and what of its request means something else today.

    Nothing that the job left to defaults is decided anew: a finished job's request leaves nothing open. ``model`` is
    taken instead of the one of that name. Raises :class:`BadRequest` if something is not there any more.
    """
    request = subject.job.request
    if missing := [name for name in _NEEDED if getattr(request, name, None) is None]:
        raise BadRequest.of("job", f"its request does not say {', '.join(missing)}: it cannot be made again")
    model = model or _model(catalog, request)
    _check_plugins(catalog, request)
    skipped = _skipped(catalog, request, picture)
    options = {name: value for name, value in request.options.items() if name not in {each.name for each in skipped}}
    # picture k of a request is the one picture of the same request with seed + k
    again = request.model_copy(update={"seed": picture.seed, "images": 1, "options": options})
    assignment = as_it_stands(catalog, subject.job, again, model, store)
    return assignment, _reinterpreted(assignment)


def _model(catalog: Catalog, request: Request) -> ModelInfo:
    model = catalog.models.get(request.model or "")
    if model is None:
        known = ", ".join(catalog.models)
        raise BadRequest.of("model", f"{request.model!r} is not offered here ({known}); give its folder with --model")
    return model


def _check_plugins(catalog: Catalog, request: Request) -> None:
    registry = catalog.registry
    gone = [
        *(f"sampler {name!r}" for name in [request.sampler] if name not in registry.samplers),
        *(f"schedule {name!r}" for name in [request.schedule] if name not in registry.schedules),
        *(
            f"post-processor {name!r}"
            for name, value in request.options.items()
            if value is not False and name not in {*registry.postprocessors, request.sampler, request.schedule}
        ),
    ]
    if gone:
        off = [info.name for info in registry.plugins if not info.on]
        hint = f"; installed, but off: {', '.join(off)} (CALOTYPE_PLUGINS)" if off else ""
        raise BadRequest.of("plugins", f"it was made with {', '.join(gone)}, which is not loaded here{hint}")


def _skipped(catalog: Catalog, request: Request, picture: Picture) -> list[PostProcessor]:
    """Post-processors that failed then, as the picture's notes say: it was delivered without them."""
    chain = [
        catalog.registry.postprocessors[name] for name in request.options if name in catalog.registry.postprocessors
    ]
    return [each for each in chain if any(note.startswith(f"{each.label} was skipped: ") for note in picture.notes)]


def _reinterpreted(assignment: Assignment) -> list[Difference]:
    """Parameters that a plugin takes today and were not written down then: today's defaults hold for them."""
    options = assignment.request.options
    taken = [
        (assignment.sampler.name, assignment.sampler_params),
        (assignment.schedule.name, assignment.schedule_params),
        *((plugin.name, params) for plugin, params in assignment.postprocess),
    ]
    found = []
    for name, params in taken:
        given = options.get(name, {})
        written = given if isinstance(given, dict) else {}
        for key, value in params.model_dump(mode="json").items():
            if key not in written or written[key] != value:
                found.append(Difference(f"options.{name}.{key}", str(written.get(key, "–")), str(value)))
    return found
