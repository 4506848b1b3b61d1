"""A job's events as a text/event-stream."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any, Final

from calotype.events import Event, Failed, Finished, Preview, Queued, Stepped

_HEARTBEAT: Final = 15.0
"""Seconds of silence after which a comment is sent, so that neither side takes the other for dead."""


async def follow(events: AsyncIterator[Event], *, previews: bool) -> AsyncIterator[str]:
    """Each event as a block of text, with heartbeats between. ``previews`` adds base64 JPEGs to the steps."""
    coming: asyncio.Future[Event] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait({coming}, timeout=_HEARTBEAT)
            if not done:
                yield ": still here\n\n"
                continue
            try:
                event = coming.result()
            except StopAsyncIteration:
                return
            coming = None
            data = _data(event)
            if previews and isinstance(event, Stepped) and event.preview is not None:
                data["preview"] = await asyncio.to_thread(_base64, event.preview)
            yield f"event: {type(event).__name__.lower()}\ndata: {json.dumps(data)}\n\n"
    finally:
        if coming is not None:  # the client has gone: end the watch
            coming.cancel()
            await asyncio.wait({coming})


def _data(event: Event) -> dict[str, Any]:
    """What is sent of an event; :func:`calotype.remote.event_of` reads it back."""
    data: dict[str, Any] = {"job_id": event.job_id}
    match event:
        case Queued(position=position):
            data["position"] = position
        case Stepped(step=step, steps=steps):
            data |= {"step": step, "steps": steps}
        case Finished(pictures=pictures):
            data["pictures"] = [asdict(picture) for picture in pictures]
        case Failed(reason=reason):
            data["reason"] = reason
    return data


def _base64(preview: Preview) -> str:
    return base64.b64encode(preview.jpeg()).decode("ascii")
