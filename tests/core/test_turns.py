"""Of several processes with one front end, one is active."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import text

from calotype import turns as module
from calotype.ledger import Ledger
from calotype.turns import Turns
from databases import PostgresServer, postgres_server


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


def test_alone_every_turn_is_ones_own() -> None:
    async def scenario() -> None:
        turns = Turns()
        assert await turns.take("discord")
        await turns.wait("discord")

    asyncio.run(scenario())


def test_one_stands_by_until_the_other_is_gone(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_EVERY", 0.05)

    async def scenario() -> None:
        with closing(Ledger(postgres.ready())) as ledger:
            one, other = ledger.session(), ledger.session()
            first, second = Turns(one), Turns(other)
            await first.wait("discord")
            assert not await second.take("discord")
            assert await second.take("another")
            standing_by = asyncio.create_task(second.wait("discord"))
            await asyncio.sleep(0.2)
            assert not standing_by.done()
            await asyncio.to_thread(one.close)  # as at its process' end
            await asyncio.wait_for(standing_by, 5)
            other.close()

    asyncio.run(scenario())


def test_who_lost_the_connection_learns_that_it_lost_its_turn(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOOK_EVERY", 0.05)

    async def scenario() -> None:
        with closing(Ledger(postgres.ready())) as ledger:
            one, other = ledger.session(), ledger.session()
            first = Turns(one)
            await first.wait("discord")
            lost = asyncio.create_task(first.lost("discord"))
            kill = text("SELECT pg_terminate_backend(:pid)")

            def end() -> None:
                pid = one._pids[-1]
                ledger._database.write(lambda c: c.execute(kill, {"pid": pid}))

            await asyncio.to_thread(end)
            await asyncio.sleep(0.3)
            assert not lost.done()  # it was faster than anybody else
            with one._mutex:  # holds it up, so that the other one is faster
                end()
                for _ in range(100):
                    if Turns(other)._take("discord"):
                        break
            await asyncio.wait_for(lost, 5)
            for session in (one, other):
                session.close()

    asyncio.run(scenario())


def test_a_connection_that_is_no_more_costs_a_turn_and_not_the_front_end(postgres: PostgresServer) -> None:
    """SQLAlchemy has errors of its own beside the driver's: a connection that was closed under us, a pool in use."""

    async def scenario() -> None:
        with closing(Ledger(postgres.ready())) as ledger:
            session = ledger.session()
            turns = Turns(session)
            assert await turns.take("discord")
            assert session._connection is not None
            session._connection.close()
            assert not await turns.take("discord")
            assert await turns.take("discord"), "it is made anew at the next call"
            session.close()

    asyncio.run(scenario())
