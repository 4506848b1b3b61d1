"""The way to the small Discord: every name leads to loopback, and its own authority is trusted."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult


class Loopback(AbstractResolver):
    """Resolves every name to one port on 127.0.0.1, whatever port was asked for."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The one address."""
        found = ResolveResult(
            hostname=host,
            host="127.0.0.1",
            port=self._port,
            family=socket.AF_INET,
            proto=0,
            flags=socket.AI_NUMERICHOST,
        )
        return [found]

    async def close(self) -> None:
        """Nothing to close."""


def connector(port: int, authority: Path) -> aiohttp.TCPConnector:
    """What the bot is handed. To be made within its event loop."""
    trust = ssl.create_default_context(cafile=str(authority))
    return aiohttp.TCPConnector(resolver=Loopback(port), ssl=trust, limit=0)
