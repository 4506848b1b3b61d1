"""How a process joins others: under its own name, with the same pictures; and who delivers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from calotype.bootstrap import catalog_for, open_service
from calotype.bus import Bus
from calotype.config import Settings
from calotype.errors import SetupError
from calotype.home import Home
from calotype.images.store import ImageStore
from calotype.joining import join
from calotype.ledger import Ledger
from calotype.ledger.session import Kind, number_of
from calotype.person import Person
from calotype.request import Request
from databases import PostgresServer, postgres_server


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


def test_all_keep_their_pictures_in_one_folder(postgres: PostgresServer, tmp_path: Path) -> None:
    store, same, other = (ImageStore(tmp_path / name) for name in ("images", "images/../images", "elsewhere"))
    assert store.identity() == same.identity() != other.identity()
    with closing(Ledger(postgres.ready())) as ledger:
        first = join(ledger, store, Bus(), lease=30, engine=True)
        second = join(ledger, same, Bus(), lease=30, engine=False)
        with pytest.raises(SetupError, match=r"^CALOTYPE_IMAGES: other processes .* one folder that all of them share"):
            join(ledger, other, Bus(), lease=30, engine=True)
        assert ledger.alive(Kind.IMAGES) == {number_of(store.identity())}
        for relay in (first, second):
            relay.session.close()
        join(ledger, other, Bus(), lease=30, engine=False).session.close()  # nobody is there any more


def test_only_who_has_an_engine_claims_by_leases(postgres: PostgresServer, tmp_path: Path) -> None:
    url = postgres.ready()
    with closing(Ledger(url)) as one, closing(Ledger(url)) as other:
        store = ImageStore(tmp_path)
        worker = join(one, store, Bus(), lease=12, engine=True)
        page = join(other, store, Bus(), lease=12, engine=False)
        assert other.leases.holder is None
        assert one.leases.holder is not None
        assert one.leases.holder.seconds == 12
        assert one.alive(Kind.WORKER) == {number_of(one.leases.holder.worker)}
        worker.session.close()
        assert other.alive(Kind.WORKER) == set()
        page.session.close()


def test_two_processes_of_one_front_end_deliver_nothing_twice(postgres: PostgresServer, tmp_path: Path) -> None:
    settings = Settings.load(home=tmp_path, database_url=postgres.ready())

    async def scenario() -> None:
        home = Home(tmp_path)
        home.enter()
        catalog = catalog_for(settings)
        async with open_service(settings, home, catalog, engine=False) as second:
            async with open_service(settings, home, catalog, engine=False) as first:
                wish = Request.parse({"prompt": "cat", "steps": 1})
                ann = Person("discord:1")
                job = await first.submit(wish, ann, reply_to={"front_end": "discord"})
                await second.cancel(job.id, ann)
                (delivery,) = await first.deliveries("discord")
                assert await second.deliveries("discord") == []
                assert await first.deliveries("discord") == [delivery]  # until it says that it arrived
            assert await second.deliveries("discord") == [delivery]  # the first has ended before
            await second.delivered(delivery)
            assert await second.deliveries("discord") == []

    asyncio.run(asyncio.wait_for(scenario(), 60))


def test_a_file_cannot_be_shared(tmp_path: Path) -> None:
    settings = Settings.load(home=tmp_path)

    async def scenario() -> None:
        home = Home(tmp_path)
        home.enter()
        with pytest.raises(SetupError, match="PostgreSQL"):
            async with open_service(settings, home, catalog_for(settings), engine=False):
                pass

    asyncio.run(scenario())
