"""People: link two accounts by a one-time code; and, for the operator, look at people, give roles, ban."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from calotype.errors import BadRequest
from calotype.people import act_on, code_as_json, listed
from calotype.person import Person
from calotype_api.cookies import header_of
from calotype_api.door import Json, door_of, object_of, person_of

PAGE_LIMIT: Final = 200
router = APIRouter()


@router.post("/v1/link-codes")
async def link_code(request: Request) -> Response:
    """A code of this visitor, ``{"code", "expires"}``; whoever has no cookie yet is given one, which is to be kept."""
    person, headers = _visitor(request)
    return Json(code_as_json(await door_of(request).studio.people.link_code(person)), 201, headers)


@router.post("/v1/link")
async def link(request: Request) -> Response:
    """Join this visitor to the account that made ``{"code"}``; whoever has no cookie yet is given one."""
    code = (await object_of(request)).get("code")
    if not isinstance(code, str):
        raise BadRequest.of("code", "is missing or not text; it looks like ABCD-EFGH")
    person, headers = _visitor(request)
    known = await door_of(request).studio.people.link(person, code)
    return Json({"linked": True, "name": known.name, "accounts": len(known.accounts)}, 200, headers)


@router.get("/v1/people")
async def people(request: Request) -> Response:
    """People by key: ``limit`` (100) of them, ``after`` the last key seen, ``search`` words. Operators only."""
    asked = request.query_params
    text = asked.get("limit", "100")
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= PAGE_LIMIT):
        raise BadRequest.of("limit", f"{text[:20]!r} is not a whole number from 1 to {PAGE_LIMIT}")
    after, search = asked.get("after", ""), asked.get("search", "")
    return Json(await listed(door_of(request).studio.people, person_of(request), int(text), after, search))


@router.post("/v1/people/{act}")
async def act(request: Request, act: str) -> Response:
    """``show``, ``role``, ``ban``, ``unban`` or ``link-code`` with ``{"person", "role", "reason"}``. Operators only."""
    return Json(await act_on(door_of(request).studio.people, act, await object_of(request), person_of(request)))


def _visitor(request: Request) -> tuple[Person, dict[str, str] | None]:
    """Who asks; somebody known by address only gets a cookie, and is that visitor from now on."""
    person = person_of(request)
    if not person.shared:
        return person, None
    visitors, address = door_of(request).visitors, request.client.host if request.client else None
    cookie = visitors.new_cookie()
    known = visitors.by_cookie(cookie, address)
    assert known is not None
    return known, {"Set-Cookie": header_of(cookie, secure=request.url.scheme == "https")}
