"""People through the studio, with the real service behind it; and the operator's command line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from calotype.bootstrap import catalog_for, open_service
from calotype.cli import main
from calotype.config import Settings
from calotype.errors import LimitReached, NotAllowed, UnknownJob
from calotype.events import Cancelled, Queued, Started
from calotype.home import Home
from calotype.job import JobStatus
from calotype.ledger import open_ledger
from calotype.people import TRIES, TRIES_WITHIN, Tries
from calotype.person import OPERATOR, Person
from calotype.request import Request
from calotype.studio import Studio

ANN, TAB = Person("discord:1", "Ann"), Person("web:tab", "visitor", role="visitor")


@asynccontextmanager
async def service(folder: Path, **settings: Any) -> AsyncIterator[Studio]:
    chosen = Settings.load(**{"home": folder, "threads": 1, "drain_seconds": 0, **settings})
    home = Home(folder)
    assert home.acquire()
    try:
        async with open_service(chosen, home, catalog_for(chosen)) as studio:
            yield studio
    finally:
        home.release()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 120))  # type: ignore[arg-type]


def short(**fields: Any) -> Request:
    return Request.parse({"prompt": "cat", "steps": 3, "seed": 1, "options": {"upscale": False}, **fields})


def test_linked_accounts_are_one_person_and_a_ban_reaches_both(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with service(tmp_path, slots=1, residents=1) as studio:
            drawn = await studio.wait((await studio.submit(short(), TAB)).id)
            with pytest.raises(UnknownJob):
                await studio.job(drawn.id, ANN)
            known = await studio.people.link(TAB, (await studio.people.link_code(ANN)).code)
            assert known.accounts == (ANN.key, TAB.key)
            assert (await studio.job(drawn.id, ANN)).id == drawn.id
            assert [job.id for job in await studio.history(TAB)] == [drawn.id]
            start = short(init_image=drawn.pictures[0].sha256)  # a picture of the other account's
            running, queued = await studio.submit(short(steps=150), TAB), await studio.submit(start, ANN)
            assert await studio.people.are_one(ANN.key, TAB.key)
            watching = [asyncio.create_task(last(studio, job.id)) for job in (running, queued)]
            async for event in studio.watch(running.id):
                if isinstance(event, Started):
                    break
            turn = await studio.turn(queued.id)
            assert turn is not None
            assert turn.eta_seconds is not None and turn.eta_seconds > 0
            banned = await studio.people.ban(TAB.key, "enough", OPERATOR)
            assert (banned.ban_reason, banned.queued, banned.running) == ("enough", 0, 0)
            assert [type(event) for event in await asyncio.gather(*watching)] == [Cancelled, Cancelled]
            with pytest.raises(NotAllowed, match="enough"):
                await studio.submit(short(), ANN)
            await studio.people.unban(ANN.key, OPERATOR)
            after = await studio.wait((await studio.submit(short(), TAB)).id)  # the engine is free again
            assert after.status is JobStatus.FINISHED

    async def last(studio: Studio, job_id: str) -> Any:
        *_, event = [event async for event in studio.watch(job_id)]
        return event

    run(scenario)


def test_an_eta_is_told_where_a_position_is(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with service(tmp_path, slots=1, residents=1) as studio:
            await studio.wait((await studio.submit(short(), ANN)).id)
            jobs = [await studio.submit(short(steps=12), ANN) for _ in range(3)]
            told = [event async for event in studio.watch(jobs[-1].id) if isinstance(event, Queued)]
            assert all(event.eta_seconds is not None for event in told)
            job = await studio.job(jobs[-1].id)
            assert job.started is not None
            waited = (job.started - job.created).total_seconds()
            assert told[0].eta_seconds is not None and told[0].eta_seconds < 20 * waited + 5

    run(scenario)


def test_only_the_operator_and_nobody_by_address(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with service(tmp_path) as studio:
            for asked in (
                studio.people.ban("x", "no", ANN),
                studio.people.unban("x", ANN),
                studio.people.set_role("x", "patron", ANN),
                studio.people.one("x", ANN),
                studio.people.all(ANN),
                studio.people.code_for("x", ANN),
            ):
                with pytest.raises(NotAllowed, match="only the operator"):
                    await asked
            with pytest.raises(NotAllowed, match="cannot be linked"):
                await studio.people.link_code(OPERATOR)
            with pytest.raises(NotAllowed, match="by your address only"):
                await studio.people.link(Person("api:x", shared=True), "ABCD-EFGH")

    run(scenario)


def test_few_tries() -> None:
    time = [0.0]
    tries = Tries(lambda: time[0])
    for n in range(TRIES):
        tries.count([f"web:{n}", "address"])
    tries.count(["web:0", "elsewhere"])
    with pytest.raises(LimitReached, match="code: 5 tries in 10 minutes; again in 10 min"):
        tries.count(["web:new", "address"])
    time[0] = TRIES_WITHIN + 1
    tries.count(["web:new", "address"])


def cli(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["people", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_command_line_on_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CALOTYPE_HOME", str(tmp_path))
    home = Home(tmp_path)
    ledger = open_ledger(home.database_url, None)
    job = ledger.submit(ANN, short(), cost=2.5)
    ledger.close()
    code, out, _ = cli(capsys, "list")
    assert (code, "discord:1" in out, "Ann" in out) == (0, True, True)
    assert cli(capsys, "role", ANN.key, "patron")[0] == 0
    code, out, _ = cli(capsys, "show", ANN.key, "--json")
    shown = json.loads(out)
    assert (shown["role"], shown["weight"], shown["queued"], shown["spent"]) == ("patron", 3.0, 1, 2.5)
    code, out, _ = cli(capsys, "ban", ANN.key, "--reason", "sold pictures")
    assert (code, "sold pictures" in out) == (0, True)
    code, out, _ = cli(capsys, "link-code", ANN.key)
    assert code == 2
    assert cli(capsys, "unban", ANN.key)[0] == 0
    code, out, _ = cli(capsys, "link-code", ANN.key, "--json")
    assert len(json.loads(out)["code"]) == 9
    for words, said in (
        (("show", "nobody"), "person: 'nobody' is nobody's account"),
        (("role", ANN.key, "king"), "role: 'king' is not one of"),
        (("unban", ANN.key), "is not banned"),
        (("ban", ANN.key, "--reason", " "), "reason: "),
        (("ban", ANN.key), "reason: "),
    ):
        code, _, error = cli(capsys, *words)
        assert code == 2
        assert said in error
        assert error.count("\n") == 1
    assert home.acquire()  # it was given back
    home.release()
    ledger = open_ledger(home.database_url, None)
    stored = ledger.job(job.id)
    assert stored is not None and stored.status is JobStatus.CANCELLED
    ledger.close()
