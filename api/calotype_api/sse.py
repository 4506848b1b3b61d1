"""A job's events as a text/event-stream."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import asdict
from typing import Any, Final
from weakref import WeakKeyDictionary

from calotype.events import Event, Failed, Finished, Preview, Queued, Started, Stepped, or_nothing

_HEARTBEAT: Final = 15.0
"""Seconds of silence after which a comment is sent, so that neither side takes the other for dead."""

_pictures: Final[WeakKeyDictionary[Preview, asyncio.Future[str]]] = WeakKeyDictionary()
_blocks: Final[WeakKeyDictionary[Stepped, str]] = WeakKeyDictionary()
"""Both are the same for everybody who watches, so they are made once. The latest preview goes with several steps."""


async def follow(events: AsyncIterator[Event], *, previews: bool) -> AsyncIterator[str]:
    """Each event as a block of text, with heartbeats between. ``previews`` adds base64 JPEGs to the steps."""
    async with aclosing(or_nothing(events, _HEARTBEAT)) as told:  # a client that has gone ends the watch
        async for event in told:
            if event is None:
                yield ": still here\n\n"
                continue
            if previews and isinstance(event, Stepped) and event.preview is not None:
                picture = await _encoded(event.preview)
                if event not in _blocks:
                    _blocks[event] = _block(event, preview=picture)
                yield _blocks[event]
            else:
                yield _block(event)


def _block(event: Event, **more: str) -> str:
    return f"event: {type(event).__name__.lower()}\ndata: {json.dumps(_data(event) | more)}\n\n"


def _data(event: Event) -> dict[str, Any]:
    """What is sent of an event; :func:`calotype.remote.event_of` reads it back."""
    data: dict[str, Any] = {"job_id": event.job_id}
    match event:
        case Queued(position=position, eta_seconds=eta_seconds):
            data |= {"position": position, "eta_seconds": eta_seconds}
        case Started(notes=notes) if notes:
            data["notes"] = list(notes)
        case Stepped(step=step, steps=steps):
            data |= {"step": step, "steps": steps}
        case Finished(pictures=pictures):
            data["pictures"] = [asdict(picture) for picture in pictures]
        case Failed(reason=reason):
            data["reason"] = reason
    return data


async def _encoded(preview: Preview) -> str:
    task = _pictures.get(preview)
    if task is None:
        task = asyncio.ensure_future(asyncio.to_thread(_base64, preview))
        _pictures[preview] = task
    return await asyncio.shield(task)  # one watcher who goes does not end it for the others


def _base64(preview: Preview) -> str:
    return base64.b64encode(preview.jpeg()).decode("ascii")
