"""Who asks, when it is not the operator: found once, before any route or mounted page."""

from __future__ import annotations

from http.cookies import SimpleCookie
from typing import Any, Final

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from calotype.visitors import COOKIE, COOKIE_AGE, SCOPE, Visitors

_PAGE: Final = "/"


class Cookies:
    """ASGI middleware. Leaves the visitor in the scope; whoever opens the page without a cookie is given one."""

    def __init__(self, app: ASGIApp, visitors: Visitors) -> None:
        self._app = app
        self._visitors = visitors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        address = connection.client.host if connection.client else None
        visitor = self._visitors.by_cookie(connection.cookies.get(COOKIE), address)
        scope[SCOPE] = visitor or self._visitors.by_address(address)
        opens_the_page = scope["method"] == "GET" and scope["path"].removeprefix(scope.get("root_path", "")) == _PAGE
        if visitor is None and opens_the_page:
            header = header_of(self._visitors.new_cookie(), secure=connection.url.scheme == "https")
            await self._app(scope, receive, _with_cookie(send, header))
        else:
            await self._app(scope, receive, send)


def header_of(cookie: str, *, secure: bool) -> str:
    """A cookie as Set-Cookie has it. No script reads it, and no other site's form sends it."""
    made: SimpleCookie = SimpleCookie({COOKIE: cookie})
    attributes: dict[str, Any] = {"path": "/", "max-age": COOKIE_AGE, "httponly": True, "samesite": "Lax"}
    made[COOKIE].update({**attributes, "secure": secure})
    return made[COOKIE].OutputString()


def _with_cookie(send: Send, header: str) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).append("Set-Cookie", header)
        await send(message)

    return sent
