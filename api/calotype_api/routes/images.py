"""``POST /v1/images/generations`` as OpenAI's clients know it. Waits for the pictures.

Taken over: prompt, n, size, model, response_format (b64_json, url), output_format (png), background (auto, opaque).
Accepted without effect, since leaving them out gives a picture just as right: user, safety_identifier, quality,
style, moderation, output_compression, partial_images. Refused: stream, since nothing would be streamed, and any
other format or background. Ours beside them: every field of a job's request, except images, which is ``n``.
"""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response

from calotype.catalog import Catalog
from calotype.errors import BadRequest, Problem
from calotype.job import Job, JobStatus, Picture
from calotype.request import IMAGES_LIMIT, problems
from calotype.request import Request as Wish
from calotype.studio import Studio
from calotype_api.door import Json, door_of, object_of, person_of, problem_for
from calotype_api.errors import DO_NOT_RETRY, error_answer, unavailable
from calotype_api.routes.jobs import key_of

_IGNORED: Final = frozenset(
    {"user", "safety_identifier", "quality", "style", "moderation", "output_compression", "partial_images"}
)
_AUTO: Final = "auto"
router = APIRouter()


class _Form(BaseModel):
    """OpenAI's own fields; what a client leaves null counts as left out."""

    model_config = ConfigDict(strict=True)

    n: Annotated[int, Field(ge=1, le=IMAGES_LIMIT)] = 1
    size: str = _AUTO
    response_format: Literal["b64_json", "url"] = "b64_json"
    output_format: Literal["png"] = "png"
    background: Literal["auto", "opaque"] = "auto"
    stream: Literal[False] = False


@router.post("/v1/images/generations")
async def generate(request: Request) -> Response:
    """Make pictures and answer with them. A client that goes away before takes its job with it.

    Unless it sent an ``Idempotency-Key``: then it may ask again, and gets the same job's pictures.
    """
    key = key_of(request)
    door, person = door_of(request), person_of(request)
    form, wish = read(await object_of(request), door.studio.catalog)
    if door.studio.problem is not None:
        return unavailable(f"no pictures can be made here: {problem_for(request)}")
    job = await door.studio.submit(wish, person, key=key)
    waiting = asyncio.ensure_future(door.studio.wait(job.id))
    gone = asyncio.ensure_future(_gone(request))
    stopping = asyncio.ensure_future(door.stopping.wait())
    try:
        await asyncio.wait({waiting, gone, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done() and not door.stopping.is_set():
            if key is None:
                await door.studio.cancel(job.id, person)
            return Response(status_code=499)  # to nobody
    finally:
        for task in (gone, stopping):
            task.cancel()
        if not waiting.done():
            waiting.cancel()
    if not waiting.done():
        return unavailable(f"the service is stopping; job {job.id} is kept and goes on when it starts again")
    return await _answer(request, form, waiting.result())


def read(data: dict[str, Any], catalog: Catalog) -> tuple[_Form, Wish]:
    """OpenAI's part of the body, checked, and the request it makes. Raises :class:`BadRequest`."""
    data = {name: value for name, value in data.items() if value is not None and name not in _IGNORED}
    own = {name: data.pop(name) for name in _Form.model_fields if name in data}
    wrong = [Problem("images", "is called n here")] if "images" in data else []
    try:
        form = _Form.model_validate(own)
    except ValidationError as error:
        raise BadRequest(*problems(error), *wrong) from None
    if wrong:
        raise BadRequest(*wrong)
    wish = Wish.parse({**data, "images": form.n})
    return form, wish if form.size == _AUTO else _sized(wish, form.size, catalog)


def _sized(wish: Wish, size: str, catalog: Catalog) -> Wish:
    """The request whose pictures are delivered in this size: some by the model itself, some by a post-processor."""
    model = catalog.model(catalog.resolve(wish.model_copy(update={"width": None, "height": None, "options": {}})))
    choices = catalog.size_choices(model)
    if size not in choices:
        raise BadRequest.of("size", f"{size[:40]!r} is not a size of {model.name}; use {', '.join([_AUTO, *choices])}")
    chosen = choices[size]
    sized = Wish.parse(
        {
            **wish.model_dump(),
            "width": wish.width or chosen["width"],
            "height": wish.height or chosen["height"],
            "options": {**chosen["options"], **wish.options},
        }
    )
    width, height = catalog.delivered_size(catalog.resolve(sized))
    if f"{width}x{height}" != size:
        raise BadRequest.of("size", f"is {size}, but width, height and options make it {width}x{height}; leave one out")
    return sized


async def _gone(request: Request) -> None:
    """Returns when the client has left: the body has been read, so nothing else can come."""
    while (await request.receive())["type"] != "http.disconnect":
        continue


async def _answer(request: Request, form: _Form, job: Job) -> Response:
    studio = door_of(request).studio
    if job.status is not JobStatus.FINISHED:
        reason = job.error or "it was cancelled"
        message = f"job {job.id} made no pictures: {reason}"
        return error_answer(500, message, code=f"job_{job.status.value}", headers=DO_NOT_RETRY)
    data = []
    for picture in job.pictures:
        shown: dict[str, Any] = {"seed": picture.seed, "sha256": picture.sha256, "revised_prompt": None}
        if form.response_format == "url":
            shown["url"] = str(request.url_for("picture", job_id=job.id, index=picture.index))
        else:
            shown["b64_json"] = await asyncio.to_thread(_base64, studio, picture)
        data.append(shown | ({"notes": list(picture.notes)} if picture.notes else {}))
    first = job.pictures[0]
    return Json(
        {
            "created": int(time.time()),
            "data": data,
            "output_format": "png",
            "background": "opaque",
            "size": f"{first.width}x{first.height}",
            "job_id": job.id,
            "model": job.request.model,
        }
    )


def _base64(studio: Studio, picture: Picture) -> str:
    return base64.b64encode(studio.picture_path(picture.sha256).read_bytes()).decode("ascii")
