"""``POST /v1/pictures``: bring a picture that a job is to start from."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from calotype.errors import Busy
from calotype.images.intake import UPLOAD_LIMIT
from calotype_api.door import Json, body_of, door_of, person_of

UPLOADS_AT_ONCE: Final = 4
router = APIRouter()


@router.post("/v1/pictures")
async def upload(request: Request) -> Response:
    """The body is the file itself: PNG, JPEG or WebP. 201 with the ``sha256`` that a job names as ``init_image``.

    What kind of file it is its first bytes say; its Content-Type is not looked at.
    """
    door = door_of(request)
    if door.uploading >= UPLOADS_AT_ONCE:
        raise Busy(f"pictures: {UPLOADS_AT_ONCE} are being brought right now; send it again in a few seconds")
    door.uploading += 1
    try:
        data = await body_of(request, UPLOAD_LIMIT)
        return Json({"sha256": await door.studio.take_in(data, person_of(request))}, 201)
    finally:
        door.uploading -= 1
