"""Scheduled prompts, for the operator."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from calotype.errors import BadRequest
from calotype.timetable import add_from, listed, removed
from calotype_api.door import Json, door_of, object_of, person_of

router = APIRouter()


@router.get("/v1/schedule")
async def schedule(request: Request) -> Response:
    """Every scheduled prompt."""
    return Json(await listed(door_of(request).studio.timetable, person_of(request)))


@router.post("/v1/schedule")
async def add(request: Request) -> Response:
    """Add ``{"cron", "timezone", "request", "owner", "reply_to"}``, the last two and the time zone optional."""
    return Json(await add_from(door_of(request).studio.timetable, await object_of(request), person_of(request)), 201)


@router.delete("/v1/schedule/{prompt_id}")
async def remove(request: Request, prompt_id: str) -> Response:
    """End one."""
    if not (prompt_id.isascii() and prompt_id.isdigit() and len(prompt_id) < 16):
        raise BadRequest.of("id", f"{prompt_id[:20]!r} is not the number of a scheduled prompt")
    return Json(await removed(door_of(request).studio.timetable, int(prompt_id), person_of(request)))
