"""The dispatcher tells the ledger which models are in memory, so that it changes them less often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from calotype.bus import Bus
from calotype.catalog import Catalog
from calotype.checkpoint import EMBEDDED, inspect
from calotype.dispatch import Dispatcher
from calotype.engine.assignment import Assignment, HostListener, Rendered
from calotype.images.store import ImageStore
from calotype.ledger import Ledger
from calotype.moderation.desk import Screened
from calotype.person import Person
from calotype.plugins.registry import Registry
from calotype.request import Request
from databases import sqlite_databases


class Remembers:
    """A host with one model in memory, whose jobs never end; ``full`` once four are there."""

    def __init__(self, *loaded: str) -> None:
        self._loaded = set(loaded)
        self.joined: list[Assignment] = []
        self.full = asyncio.Event()

    def __call__(self, _: HostListener) -> Remembers:
        return self

    def join(self, assignment: Assignment) -> None:
        self.joined.append(assignment)
        if len(self.joined) == 4:
            self.full.set()

    def loaded(self) -> set[str]:
        return self._loaded

    def cancel(self, _: str) -> None: ...
    def pause(self, _: str) -> None: ...
    def resume(self, _: str) -> None: ...
    def close(self, timeout: float = 10.0) -> None: ...


@pytest.fixture
def catalog(registry: Registry, tiny_sd1: Path) -> Catalog:
    return Catalog(registry, [inspect(EMBEDDED), inspect(tiny_sd1)])


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(sqlite_databases(tmp_path)())) as ledger:
        yield ledger


def _let_pass(_: Assignment, pictures: Sequence[Rendered]) -> Screened:
    return Screened(pictures, [], "")


@asynccontextmanager
async def dispatching(
    ledger: Ledger, catalog: Catalog, host: Remembers, folder: Path, slots: int
) -> AsyncIterator[None]:
    store = ImageStore(folder / "images")
    dispatcher = Dispatcher(ledger, store, catalog, Bus(), host, _let_pass, slots=slots, residents=slots)
    running = asyncio.create_task(dispatcher.run())
    try:
        yield
    finally:
        await dispatcher.stop(0)
        await running


@pytest.mark.parametrize(
    ("loaded", "order"),
    [
        ("calotype-emoji", "acbd"),
        ("tiny-sd1", "bdac"),
        ("neither", "acbd"),  # with the first one's job comes its model: it is as good as loaded
    ],
)
def test_who_needs_what_is_loaded_comes_first(
    ledger: Ledger, catalog: Catalog, tmp_path: Path, loaded: str, order: str
) -> None:
    for person, model in zip("abcd", ("calotype-emoji", "tiny-sd1") * 2, strict=True):
        request = catalog.resolve(Request(prompt="blue cat", seed=7, model=model))
        ledger.submit(Person(person), request, cost=1.0)
    host = Remembers(loaded)

    async def scenario() -> None:
        async with dispatching(ledger, catalog, host, tmp_path, slots=4), asyncio.timeout(20):
            await host.full.wait()

    asyncio.run(scenario())
    assert "".join(each.person for each in host.joined) == order
