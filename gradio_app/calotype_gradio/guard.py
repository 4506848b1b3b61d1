"""Stands before Gradio: what the page never sends does not reach it.

Gradio's endpoints are public. It would store uploads, and it fetches URLs that are hidden in a value that looks like
a file. The page has neither files nor nested values, so everything but plain values is answered here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

PREFIX: Final = "/gradio_api/"
BODY_LIMIT: Final = 65_536
"""Bytes of a call: two prompts of 2,000 characters, each escaped to six bytes or twelve, and the settings."""
_READS: Final = (
    "info",
    "openapi.json",
    "queue/data",
    "queue/status",
    "call/",
    "heartbeat/",
    "theme.css",
    "startup-events",
    "app_id",
    "user",
    "login_check",
    "token",
)
_CALLS: Final = ("queue/join", "run/", "api/", "call/", "cancel", "reset")
"""Beginnings of the paths that are passed on. Not among them: uploads, files, proxy, streams, deep links."""
_SESSION: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_CONTENT_POLICY: Final = (
    # Gradio's own scripts are in the page and evaluate templates; nothing comes from, or goes to, another host.
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)


class Guard:
    """ASGI middleware. Other front ends' paths pass untouched."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        if scope["type"] == "http" and path == "/":
            await self._app(scope, receive, _with_policy(send))
        elif scope["type"] == "http" and path.startswith(PREFIX):
            await self._gradio(path.removeprefix(PREFIX), scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _gradio(self, name: str, scope: Message, receive: Receive, send: Send) -> None:
        if scope["method"] in ("GET", "HEAD") and name.startswith(_READS):
            await self._app(scope, receive, send)
        elif scope["method"] == "POST" and name.startswith(_CALLS):
            await self._call(scope, receive, send)
        else:
            await _refuse(404, "this page takes no files and has no such endpoint")(scope, receive, send)

    async def _call(self, scope: Message, receive: Receive, send: Send) -> None:
        if Headers(scope=scope).get("sec-fetch-site") == "cross-site":
            await _refuse(403, "a page of another site may not use this one through its visitor")(scope, receive, send)
            return
        body = await _read(receive)
        wrong = f"the call is larger than {BODY_LIMIT} bytes" if body is None else fault(body)
        if body is None or wrong is not None:
            await _refuse(413 if body is None else 422, str(wrong))(scope, receive, send)
        else:
            await self._app(scope, _again(body, receive), send)


def fault(body: bytes) -> str | None:
    """What is wrong with the body of a call, in one line; None if it is JSON and holds plain values only."""
    try:
        call = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        return "the body is not JSON"
    if not isinstance(call, dict):
        return "the body is not a JSON object"
    session = call.get("session_hash")
    if session is not None and not (isinstance(session, str) and _SESSION.fullmatch(session)):
        return "session_hash: use 1 to 64 letters, digits, - and _"
    nested = [name for name, value in call.items() if not _is_flat(name, value)]
    return f"{nested[0][:40]}: takes plain values only: text, numbers, true, false, null" if nested else None


def _is_flat(name: str, value: Any) -> bool:
    if name == "data":
        return isinstance(value, list) and not any(isinstance(one, dict | list) for one in value)
    if name == "event_data" and isinstance(value, dict):
        return not any(isinstance(one, dict | list) for one in value.values())
    return not isinstance(value, dict | list)


async def _read(receive: Receive) -> bytes | None:
    """The whole body; None if it is larger than any call of the page."""
    body = b""
    while len(body) <= BODY_LIMIT:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] != "http.request" or not message.get("more_body"):
            return body if len(body) <= BODY_LIMIT else None
    return None


def _again(body: bytes, receive: Receive) -> Receive:
    """Hands out the body that was read, then whatever comes after it (the disconnect)."""
    rest = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return rest.pop() if rest else await receive()

    return replay


def _with_policy(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["Content-Security-Policy"] = _CONTENT_POLICY
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "no-referrer"
        await send(message)

    return sent


def _refuse(status: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": detail}, status_code=status)
