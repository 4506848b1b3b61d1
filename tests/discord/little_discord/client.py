"""A bare client, for trying the server itself."""

from __future__ import annotations

import asyncio
import json
import zlib
from types import TracebackType
from typing import Any

import aiohttp

from little_discord.connector import connector
from little_discord.gateway import DISPATCH, GUILDS, HELLO, IDENTIFY, RESUME
from little_discord.rest import TOKEN
from little_discord.server import API, Server

GATEWAY = "wss://gateway.discord.gg/?v=10&encoding=json"


class Line:
    """A gateway connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self._loop = loop
        self.websocket = websocket
        self._inflate = zlib.decompressobj()
        self.seq = 0

    def send(self, op: int, data: Any) -> None:
        """One message."""
        self._loop.run_until_complete(self.websocket.send_json({"op": op, "d": data}))

    def receive(self) -> tuple[int, str | None, Any]:
        """Op, event, data of the next message; op is -1 and data the code when the server has closed."""
        found = self._loop.run_until_complete(self.websocket.receive(timeout=5))
        if found.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
            return -1, None, self.websocket.close_code
        text = found.data if found.type is aiohttp.WSMsgType.TEXT else self._inflate.decompress(found.data)
        message = json.loads(text)
        self.seq = message["s"] or self.seq
        return message["op"], message["t"], message["d"]

    def identify(self, *, token: str = TOKEN, intents: int = GUILDS) -> Any:
        """IDENTIFY, and READY's data, or the code with which the server closed."""
        self.send(IDENTIFY, {"token": token, "intents": intents, "properties": {}, "shard": [0, 1]})
        op, event, data = self.receive()
        if op == DISPATCH:
            assert event == "READY"
            assert self.receive()[1] == "GUILD_CREATE"
        return data

    def resume(self, session: str, seq: int) -> None:
        """RESUME."""
        self.send(RESUME, {"token": TOKEN, "session_id": session, "seq": seq})


class Client:
    """Requests as they are told, answers as they come."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._loop = asyncio.new_event_loop()
        self._session: aiohttp.ClientSession

    def __enter__(self) -> Client:
        async def make() -> aiohttp.ClientSession:
            return aiohttp.ClientSession(connector=connector(self.server.port, self.server.authority))

        self._session = self._loop.run_until_complete(make())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.run_until_complete(self._session.close())
        self._loop.close()

    def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        files: dict[str, bytes] | None = None,
        token: str | None = TOKEN,
    ) -> tuple[int, Any]:
        """Status and JSON. ``files`` makes it multipart, ``files[0]`` first."""
        headers = {"User-Agent": "DiscordBot (little, 0)"} | ({"Authorization": f"Bot {token}"} if token else {})
        arguments: dict[str, Any] = {"json": body} if body is not None else {}
        if files is not None:
            form = aiohttp.FormData(quote_fields=False)
            form.add_field("payload_json", json.dumps(body or {}), content_type="application/json")
            for index, (name, data) in enumerate(files.items()):
                form.add_field(f"files[{index}]", data, filename=name, content_type="image/png")
            arguments = {"data": form}

        async def ask() -> tuple[int, Any]:
            async with self._session.request(
                method, f"https://discord.com{API}{path}", headers=headers, **arguments
            ) as answer:
                text = await answer.text()
                return answer.status, json.loads(text) if answer.content_type == "application/json" else text or None

        return self._loop.run_until_complete(ask())

    def fetch(self, url: str) -> bytes:
        """A file of the CDN."""

        async def ask() -> bytes:
            async with self._session.get(url) as answer:
                assert answer.status == 200
                return await answer.read()

        return self._loop.run_until_complete(ask())

    def connect(self, *, compress: bool = False) -> Line:
        """A gateway connection, after HELLO."""
        url = GATEWAY + ("&compress=zlib-stream" if compress else "")
        line = Line(self._loop, self._loop.run_until_complete(self._session.ws_connect(url)))
        assert line.receive()[0] == HELLO
        return line
