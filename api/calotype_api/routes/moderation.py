"""What the operator blocks: words, and pictures by their look; and the audit. Operators only, all of it."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from calotype import texts
from calotype.errors import BadRequest
from calotype.moderation.office import as_json
from calotype_api.door import Json, door_of, object_of, person_of

AUDIT_LIMIT: Final = 1000
"""Entries in one answer."""
router = APIRouter()


@router.get("/v1/moderation/words")
async def words(request: Request) -> Response:
    """Words and phrases that were added while the service ran."""
    found = await asyncio.to_thread(door_of(request).studio.moderation.words, person_of(request))
    return _listed([as_json(word) for word in found])


@router.post("/v1/moderation/words")
async def block_word(request: Request) -> Response:
    """``{"word": …}``: refuse prompts that hold it. ``new`` says whether it was not blocked before."""
    person, word = person_of(request), _text(await object_of(request), "word")
    new = await asyncio.to_thread(door_of(request).studio.moderation.block_word, word, person)
    return Json({"word": word, "new": new}, 201)


@router.post("/v1/moderation/words/remove")
async def unblock_word(request: Request) -> Response:
    """``{"word": …}``: allow it again. In the body, since a phrase may hold anything that a path may not."""
    person, word = person_of(request), _text(await object_of(request), "word")
    await asyncio.to_thread(door_of(request).studio.moderation.unblock_word, word, person)
    return Json({"word": word})


@router.get("/v1/moderation/pictures")
async def pictures(request: Request) -> Response:
    """Pictures that were blocked, newest first: their hashes."""
    found = await asyncio.to_thread(door_of(request).studio.moderation.pictures, person_of(request))
    return _listed([as_json(picture) for picture in found])


@router.post("/v1/moderation/pictures")
async def block_picture(request: Request) -> Response:
    """``{"job_id": …}`` with ``index`` for one of its pictures, or ``{"hash": …, "sha256s": […]}``; with ``reason``."""
    office, person, data = door_of(request).studio.moderation, person_of(request), await object_of(request)
    reason = _text(data, "reason", "")
    if "hash" not in data:
        index = data.get("index")
        if index is not None and (not isinstance(index, int) or isinstance(index, bool)):
            raise BadRequest.of("index", "is not a whole number; it is that of a picture of the job, from 0")
        blocked = await asyncio.to_thread(office.block_job, _text(data, "job_id"), index, reason, person)
        return _listed([as_json(picture) for picture in blocked], 201)
    sha256s = data.get("sha256s", [])
    if not isinstance(sha256s, list) or not all(isinstance(each, str) for each in sha256s):
        raise BadRequest.of("sha256s", "is not a list of texts")
    one = await asyncio.to_thread(office.block_picture, _text(data, "hash"), sha256s, reason, person)
    return _listed([as_json(one)], 201)


@router.post("/v1/moderation/pictures/remove")
async def unblock_picture(request: Request) -> Response:
    """``{"hash": …}``: allow what looks like it again."""
    person, digest = person_of(request), _text(await object_of(request), "hash")
    await asyncio.to_thread(door_of(request).studio.moderation.unblock_picture, digest, person)
    return Json({"hash": digest})


@router.get("/v1/moderation/audit")
async def audit(request: Request) -> Response:
    """What was done and refused, newest first: ``limit`` (100), ``before`` the last id seen, ``subject``."""
    query, office = request.query_params, door_of(request).studio.moderation
    limit = _number(query.get("limit", "100"), "limit", AUDIT_LIMIT)
    before = _number(query["before"], "before", 2**53) if "before" in query else None
    found = await asyncio.to_thread(
        office.audit, person_of(request), subject=query.get("subject"), limit=limit, before=before
    )
    return _listed([as_json(entry) for entry in found])


def _listed(data: list[dict[str, Any]], status: int = 200) -> Json:
    return Json({"object": "list", "data": data}, status)


def _text(data: dict[str, Any], field: str, default: str | None = None) -> str:
    value = data.get(field, default)
    if not isinstance(value, str) or not texts.is_sound(value):
        raise BadRequest.of(field, "is missing or not text")
    return value


def _number(text: str, field: str, limit: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 17 and 1 <= int(text) <= limit):
        raise BadRequest.of(field, f"{text[:20]!r} is not a whole number from 1 to {limit}")
    return int(text)
