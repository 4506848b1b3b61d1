"""Lets the service stop while streams are open: at the stop their clients count as gone."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class Stopping:
    """ASGI middleware. Once ``stopping`` is set, every request hears ``http.disconnect`` and its stream is closed.

    So event streams end at once, ours and those of mounted pages alike, instead of holding the stop up. What is
    not listening, an ordinary answer, is completed.
    """

    def __init__(self, app: ASGIApp, stopping: asyncio.Event) -> None:
        self._app = app
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = complete = False
        pending: asyncio.Future[Message] | None = None  # kept when a look at it is cancelled: nothing gets lost

        async def heard() -> Message:
            nonlocal pending
            mine = pending = pending or asyncio.ensure_future(receive())
            if not mine.done():
                stopped = asyncio.ensure_future(self._stopping.wait())
                try:
                    both: set[asyncio.Future[Any]] = {mine, stopped}
                    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    stopped.cancel()
            if not mine.done():
                return {"type": "http.disconnect"}
            if pending is mine:  # two may listen at once, as Gradio's streams do: both hear the same message
                pending = None
            return mine.result()

        async def sent(message: Message) -> None:
            nonlocal begun, complete
            begun = True
            complete = message["type"] == "http.response.body" and not message.get("more_body", False)
            await send(message)

        try:
            await self._app(scope, heard, sent)
        finally:
            if pending is not None:
                pending.cancel()
        if begun and not complete and self._stopping.is_set():
            await send({"type": "http.response.body", "body": b"", "more_body": False})
