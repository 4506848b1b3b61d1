"""Events as text, read back by the command line's client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import numpy as np
import pytest

from calotype.events import Event, Failed, Preview, Queued, Started, Stepped
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


def test_a_preview_is_encoded_once_however_many_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = []
    preview = Preview(np.zeros((4, 4, 3), np.uint8))
    original = Preview.jpeg

    def counted(self: Preview) -> bytes:
        encoded.append(self)
        return original(self)

    monkeypatch.setattr(Preview, "jpeg", counted)

    async def one() -> list[str]:
        return [block async for block in follow(_events(Stepped("j", 1, 2, preview)), previews=True)]

    async def everybody() -> list[list[str]]:
        return await asyncio.gather(*(one() for _ in range(20)))

    told = asyncio.run(everybody())
    assert encoded == [preview]
    assert all('"preview": "' in blocks[0] for blocks in told)
    assert len({blocks[0] for blocks in told}) == 1
