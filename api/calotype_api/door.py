"""What every route needs: the studio, who asks, and the body as an object."""

from __future__ import annotations

import asyncio
import hmac
import json
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse

from calotype.config import Settings
from calotype.errors import BadRequest, CalotypeError
from calotype.person import OPERATOR, Person
from calotype.studio import Studio
from calotype.visitors import SCOPE, Visitors

BODY_LIMIT: Final = 2**20
"""Bytes of a request's body."""
_DRAIN_LIMIT: Final = 16 * 2**20
"""Bytes read beyond the limit of a body that is too large, so that its sender gets to read the answer."""


class TooLarge(CalotypeError):
    """The body is over its limit, in bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"body: is larger than {limit} bytes; send less")


@dataclass
class Door:
    """The application's state."""

    studio: Studio
    settings: Settings
    operator_token: str
    visitors: Visitors
    uploading: int = 0
    """Pictures that are being brought right now: each is held in memory until it is taken in."""
    exporting: int = 0
    """Exports that are being written or sent right now: each takes as much disk as its pictures."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the service stops: whatever is long-lived ends now, jobs stay in the queue."""


class Json(JSONResponse):
    """JSON in ASCII, so that no text, however broken, fails to be sent."""

    def render(self, content: Any) -> bytes:
        """Raises ValueError for NaN and infinity, which JSON has not."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def door_of_app(app: FastAPI) -> Door:
    """What :func:`calotype_api.app.create_app` put there."""
    door = app.state.door
    assert isinstance(door, Door)
    return door


def door_of(request: Request) -> Door:
    """The door a request came through."""
    return door_of_app(request.app)


def person_of(request: Request) -> Person:
    """The operator by token, everybody else by our cookie or by address.

    Other bearer tokens mean nothing: OpenAI's clients always send one.
    """
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    expected = door_of(request).operator_token
    if kind.lower() == "bearer" and hmac.compare_digest(token.strip().encode(), expected.encode()):
        return OPERATOR
    visitor: Person = request.scope[SCOPE]  # see cookies.py
    return visitor


def problem_for(request: Request) -> str:
    """Why no pictures can be made here, as far as whoever asks may know."""
    if person_of(request).operator:
        return str(door_of(request).studio.problem)
    return "the engine could not be started; the operator finds the reason in the log"


async def object_of(request: Request, *, optional: bool = False) -> dict[str, Any]:
    """The body as a JSON object; none at all is an empty one where it is ``optional``.

    Raises :class:`BadRequest` or :class:`TooLarge`.
    """
    body = await body_of(request, BODY_LIMIT)
    if optional and not body:
        return {}
    try:
        value = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise BadRequest.of("body", f"is not JSON: {str(error) or 'nested too deeply'}") from None
    if not isinstance(value, dict):
        raise BadRequest.of("body", 'is not a JSON object; send one such as {"prompt": "blue cat"}')
    return value


async def body_of(request: Request, limit: int) -> bytes:
    """The body, of at most ``limit`` bytes. Raises :class:`TooLarge`."""
    body = bytearray()
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size <= limit:
            body += chunk
        elif size > limit + _DRAIN_LIMIT:
            break
    if size > limit:
        raise TooLarge(limit)
    return bytes(body)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number of JSON's")
