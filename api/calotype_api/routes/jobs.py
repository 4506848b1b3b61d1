"""Jobs: queue a request, follow it, fetch its pictures. Everybody sees their own; an operator all."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, Response, StreamingResponse

from calotype.errors import BadRequest
from calotype.idempotency import ClientKey
from calotype.job import JobStatus, as_json
from calotype.request import Request as Wish
from calotype.searching import limit_of, page
from calotype_api.door import Json, door_of, object_of, person_of
from calotype_api.errors import error_answer
from calotype_api.sse import follow

router = APIRouter()


@router.post("/v1/jobs")
async def submit(request: Request) -> Response:
    """Queue a request; 201 once it is written down.

    The header ``Idempotency-Key`` makes repeating it safe: the same key of the same person is the same job, and is
    refused for another request. ``parent`` beside the request's own fields is the job of which this is a variation.
    """
    key = key_of(request)
    body = await object_of(request)
    parent = body.pop("parent", None)
    if parent is not None and not isinstance(parent, str):
        raise BadRequest.of("parent", f"{str(parent)[:20]!r} is not text; name the job that this one varies")
    job = await door_of(request).studio.submit(Wish.parse(body), person_of(request), key=key, parent=parent)
    return Json(as_json(job), 201, {"Location": f"/v1/jobs/{job.id}"})


def key_of(request: Request) -> ClientKey | None:
    """What makes repeating the call safe, if the client sends it. Raises :class:`BadRequest`."""
    key = request.headers.get("idempotency-key")
    return None if key is None else ClientKey(key, "Idempotency-Key")


@router.get("/v1/jobs")
async def history(request: Request) -> Response:
    """The person's jobs, newest first: ``limit`` (50) of them, ``before`` the id of the last one seen."""
    limit, before = limit_of(request.query_params), request.query_params.get("before")
    found = await door_of(request).studio.history(person_of(request), limit=limit + 1, before=before)
    return Json(page(found, limit, people=False))


@router.get("/v1/jobs/{job_id}")
async def one_job(request: Request, job_id: str) -> Response:
    """A job as it stands; while it is queued with its position, and with ``eta_seconds`` once that can be told."""
    studio = door_of(request).studio
    job = await studio.job(job_id, person_of(request))
    turn = await studio.turn(job_id) if job.status is JobStatus.QUEUED else None
    place = {} if turn is None else {"position": turn.position, "eta_seconds": turn.eta_seconds}
    return Json({**as_json(job), "position": None, "eta_seconds": None, **place})


@router.post("/v1/jobs/{job_id}/cancel")
async def cancel(request: Request, job_id: str) -> Response:
    """Call a job off; one that is over stays what it is. Answers with the job."""
    return Json(as_json(await door_of(request).studio.cancel(job_id, person_of(request))))


@router.post("/v1/jobs/{job_id}/pause")
async def pause(request: Request, job_id: str) -> Response:
    """Let a running job stand where it is; one that is over stays what it is. Answers with the job."""
    return Json(as_json(await door_of(request).studio.pause(job_id, person_of(request))))


@router.post("/v1/jobs/{job_id}/resume")
async def resume(request: Request, job_id: str) -> Response:
    """Let a paused job go on; any other stays what it is. Answers with the job."""
    return Json(as_json(await door_of(request).studio.resume(job_id, person_of(request))))


@router.get("/v1/jobs/{job_id}/events")
async def events(request: Request, job_id: str) -> Response:
    """Server-sent events from where the job stands to its end; ``previews=1`` adds small JPEGs to the steps."""
    door, person = door_of(request), person_of(request)
    await door.studio.job(job_id, person)  # an unknown job is a 404, not a stream that ends
    stream = follow(door.studio.watch(job_id, person), previews=request.query_params.get("previews") == "1")
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nginx would hold events back
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


@router.get("/v1/jobs/{job_id}/pictures/{index}", name="picture")
async def picture(request: Request, job_id: str, index: str) -> Response:
    """A finished picture, PNG. It never changes, so a browser may keep it, and nobody between."""
    studio = door_of(request).studio
    job = await studio.job(job_id, person_of(request))
    found = next((each for each in job.pictures if str(each.index) == index), None)
    if found is None:
        message = f"picture: job {job_id} has no picture {index[:20]}; it is {job.status.value}"
        return error_answer(404, message, code="not_found", param="index")
    try:
        path = studio.picture_path(found.sha256)
    except KeyError:
        return error_answer(404, f"picture: the file of {job_id}/{index} is gone", code="not_found", param="index")
    headers = {
        "Cache-Control": "private, max-age=31536000, immutable",
        "ETag": f'"{found.sha256}"',
        "X-Content-Type-Options": "nosniff",
    }
    return FileResponse(path, media_type="image/png", headers=headers)
