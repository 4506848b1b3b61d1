"""Which pages and names may speak to this service: a visitor's browser must not be another site's tool."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from calotype.config import Settings
from calotype_api.errors import error_answer

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


class Origin:
    """ASGI middleware over everything, mounted pages too.

    What changes something is refused if it comes from a page of another origin (``Origin`` against ``Host``, and
    ``Sec-Fetch-Site`` where a browser sends it). While the service listens on loopback, only loopback's names are
    accepted as ``Host``: otherwise a foreign page could rebind its own name to 127.0.0.1 and read everything.
    ``CALOTYPE_ALLOWED_HOSTS`` names those of a reverse proxy.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        listens_on_loopback = settings.host in _LOOPBACK or settings.host.startswith("127.")
        self._names = frozenset(settings.allowed_hosts) | _LOOPBACK if listens_on_loopback else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        reason = self._reason(scope) if scope["type"] == "http" else None
        if reason is None:
            await self._app(scope, receive, send)
        else:
            await error_answer(403, reason, code="not_allowed")(scope, receive, send)

    def _reason(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self._names is not None and _name(f"//{host}") not in self._names:
            return "host: this service answers to localhost only; name a proxy's host in CALOTYPE_ALLOWED_HOSTS"
        if scope["method"] in _SAFE:
            return None
        origin = headers.get("origin")
        foreign = origin is not None and _place(origin) != host
        if foreign or headers.get("sec-fetch-site") == "cross-site":
            return "origin: a page of another site may not use this service through its visitor's browser"
        return None


def _place(url: str) -> str | None:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return None


def _name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
