"""The history: searched, kept, asked for again, taken along, erased. Everybody's own; an operator's is everybody's."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from calotype import searching
from calotype.errors import BadRequest, Busy, NotAllowed
from calotype.job import as_json
from calotype_api.door import Door, Json, door_of, object_of, person_of
from calotype_api.routes.jobs import key_of

EXPORTS_AT_ONCE: Final = 2
router = APIRouter()


@router.get("/v1/history")
async def search(request: Request) -> Response:
    """Jobs whose prompts hold the words of ``q``, newest first: ``limit`` (50) of them, ``before`` the last one seen.

    Narrowed down by ``person`` (operators), ``guild``, ``model``, ``sampler``, ``from``, ``to``, ``favourite``,
    ``status``.
    """
    query, person = dict(request.query_params), person_of(request)
    searching.check(query)
    limit, filters = searching.limit_of(query), searching.filters_of(query)
    archive = door_of(request).studio.archive
    found = await archive.search(query.get("q", ""), person, filters, limit=limit + 1, before=query.get("before"))
    return Json(searching.page(found, limit, people=person.operator))


@router.put("/v1/jobs/{job_id}/favourite")
async def keep(request: Request, job_id: str) -> Response:
    """Keep a job from every retention. Answers with the job."""
    return Json(as_json(await door_of(request).studio.archive.favour(job_id, person_of(request))))


@router.delete("/v1/jobs/{job_id}/favourite")
async def keep_no_more(request: Request, job_id: str) -> Response:
    """Let retention have it again. Answers with the job."""
    return Json(as_json(await door_of(request).studio.archive.favour(job_id, person_of(request), False)))


@router.post("/v1/jobs/{job_id}/rerun")
async def rerun(request: Request, job_id: str) -> Response:
    """Queue what a job asked for once more; 201 with the new job. ``{"new_seed": true}``: with another seed."""
    body = await object_of(request, optional=True)
    new_seed = body.pop("new_seed", False)
    if not isinstance(new_seed, bool):
        raise BadRequest.of("new_seed", f"{str(new_seed)[:20]!r} is neither true nor false")
    for name in body:
        raise BadRequest.of(str(name)[:60], "is not a field that is known here; there is new_seed")
    archive = door_of(request).studio.archive
    job = await archive.rerun(job_id, person_of(request), new_seed=new_seed, key=key_of(request))
    return Json(as_json(job), 201, {"Location": f"/v1/jobs/{job.id}"})


@router.get("/v1/jobs/{job_id}/children")
async def children(request: Request, job_id: str) -> Response:
    """The variations of a job, oldest first."""
    limit = searching.limit_of(request.query_params)
    found = await door_of(request).studio.archive.children(job_id, person_of(request), limit=limit + 1)
    return Json(searching.page(found, limit, people=False))


@router.get("/v1/export")
async def export(request: Request) -> Response:
    """A zip of one's pictures and ``history.json``. An operator names a ``person``, or gets everybody's.

    A ``Range`` is not looked at: every answer is a new zip, and a part of it fits to no other.
    """
    door, person = door_of(request), person_of(request)
    whose = request.query_params.get("person")
    if door.exporting >= EXPORTS_AT_ONCE:
        raise Busy(f"export: {EXPORTS_AT_ONCE} are under way; ask again when one is done")
    door.exporting += 1
    folder = tempfile.TemporaryDirectory(prefix="calotype-export-")
    try:
        file = Path(folder.name) / "calotype-history.zip"
        await door.studio.archive.export(file, person, whose)
    except BaseException:
        await _exported(door, folder)
        raise
    return _Export(door, folder, file)


class _Export(FileResponse):
    """Sends the whole file, and lets go of what the export took, however its sending ends: a client may go away."""

    def __init__(self, door: Door, folder: tempfile.TemporaryDirectory[str], file: Path) -> None:
        headers = {"Accept-Ranges": "none", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
        super().__init__(file, media_type="application/zip", filename=file.name, headers=headers)
        self._door, self._folder = door, folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        headers = [(name, value) for name, value in scope["headers"] if name not in (b"range", b"if-range")]
        try:
            await super().__call__({**scope, "headers": headers}, receive, send)
        finally:
            await _exported(self._door, self._folder)


async def _exported(door: Door, folder: tempfile.TemporaryDirectory[str]) -> None:
    door.exporting -= 1
    await asyncio.to_thread(folder.cleanup)


@router.delete("/v1/me")
async def erase(request: Request) -> Response:
    """Erase whoever asks: jobs, pictures, uploads, accounts. An operator names the ``person`` instead.

    Answers with what was removed and what a look everywhere found afterwards.
    """
    person, whose = person_of(request), request.query_params.get("person")
    if person.operator and whose is None:
        raise BadRequest.of("person", "is missing; an operator names whom to erase")
    if not person.operator and whose is not None and whose != person.key:
        raise NotAllowed("person: only the operator erases others; leave it out to erase yourself")
    return Json((await door_of(request).studio.archive.erase(person, whose)).as_json())
