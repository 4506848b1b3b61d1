"""Events as text, read back by the command line's client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from calotype.events import Event, Failed, Queued, Started, Stepped
from calotype.remote import event_of
from calotype_api.sse import follow


async def _events(*events: Event) -> AsyncIterator[Event]:
    for event in events:
        yield event


def _sent(*events: Event) -> list[tuple[str, str]]:
    async def gathered() -> list[str]:
        return [block async for block in follow(_events(*events), previews=False)]

    found = []
    for block in asyncio.run(gathered()):
        name, data, *_ = block.split("\n")
        found.append((name.removeprefix("event: "), data.removeprefix("data: ")))
    return found


def test_what_is_sent_is_read_back() -> None:
    events = [Queued("j", 2), Started("j", ("a\nnote",)), Stepped("j", 1, 2), Failed("j", "why")]
    assert [event_of(name, json.loads(data)) for name, data in _sent(*events)] == events


def test_without_notes_a_start_is_what_it_always_was() -> None:
    assert _sent(Started("j")) == [("started", '{"job_id": "j"}')]
