"""Errors as answers: always OpenAI's shape, and never a traceback."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from calotype.errors import (
    BadRequest,
    Busy,
    CalotypeError,
    LimitReached,
    ModelError,
    NotAllowed,
    Problem,
    SetupError,
    UnknownJob,
    for_visitors,
)
from calotype_api.door import Json, TooLarge, person_of

DO_NOT_RETRY: Final = {"x-should-retry": "false"}
"""OpenAI's clients repeat whatever failed with 5xx, twice, unless told not to: each would be a new job."""
log = logging.getLogger(__name__)

_ANSWERS: Final[Mapping[type[CalotypeError], tuple[int, str]]] = {
    BadRequest: (400, "bad_request"),
    ModelError: (503, "unavailable"),
    LimitReached: (429, "limit_reached"),
    NotAllowed: (403, "not_allowed"),
    UnknownJob: (404, "not_found"),
    TooLarge: (413, "too_large"),
    Busy: (503, "unavailable"),
    SetupError: (503, "unavailable"),
}


def error_answer(
    status: int,
    message: str,
    *,
    code: str,
    param: str | None = None,
    problems: Sequence[Problem] = (),
    headers: Mapping[str, str] | None = None,
) -> Json:
    """An error in OpenAI's shape, with every problem found beside the first one's field."""
    error: dict[str, Any] = {
        "message": message,
        "type": "invalid_request_error" if status < 500 else "server_error",
        "param": param,
        "code": code,
        "problems": [{"field": problem.field, "message": problem.message} for problem in problems],
    }
    return Json({"error": error}, status, headers)


def unavailable(message: str) -> Json:
    """503: the request is right, the service cannot serve it now."""
    return error_answer(503, message, code="unavailable", headers=DO_NOT_RETRY)


def install(app: FastAPI) -> None:
    """Make the application answer errors so."""
    app.add_exception_handler(CalotypeError, _calotype_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_middleware(Unexpected)


async def _calotype_error(request: Request, error: Exception) -> Json:
    assert isinstance(error, CalotypeError)
    if not for_visitors(error):
        return unavailable(str(error) if person_of(request).operator else _referred(request, error))
    status, code = next((_ANSWERS[kind] for kind in type(error).__mro__ if kind in _ANSWERS), (500, "failed"))
    if isinstance(error, BadRequest):
        problems: Sequence[Problem] = error.problems
    else:
        field, colon, message = str(error).partition(": ")
        problems = [Problem(field, message)] if colon and status < 500 else ()
    param = problems[0].field if problems else None
    headers = DO_NOT_RETRY if isinstance(error, LimitReached) else None
    return error_answer(status, str(error), code=code, param=param, problems=problems, headers=headers)


def _referred(request: Request, error: CalotypeError) -> str:
    """Its text may name files and servers: the log has it under a reference, and a visitor is told that."""
    reference = secrets.token_hex(4)
    log.error("%s %s failed, reference %s: %s", request.method, request.url.path, reference, error)
    return f"this cannot be done just now; the operator finds the reason in the log under {reference}"


async def _http_error(request: Request, error: Exception) -> Json:
    """No such path, or no such method on it."""
    assert isinstance(error, HTTPException)
    code = "not_found" if error.status_code == 404 else "bad_request"
    message = f"{request.method} {request.url.path}: {error.detail}"
    return error_answer(error.status_code, message, code=code, headers=error.headers)


class Unexpected:
    """The outermost net: a fault of ours is a reference for the client and a traceback for the log."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except ClientDisconnect:
            log.debug("%s: the client went away", scope.get("path"))
        except Exception:  # whatever it is, the client gets a reference and the log the rest
            if scope["type"] != "http":
                raise
            reference = secrets.token_hex(4)
            log.exception("%s %s failed, reference %s", scope["method"], scope["path"], reference)
            if begun:
                raise  # too late for an answer: uvicorn closes the connection, so that it is not taken as whole
            message = f"something went wrong here; the operator finds it in the log under {reference}"
            answer = error_answer(500, message, code="internal", headers=DO_NOT_RETRY)
            await answer(scope, receive, send)
