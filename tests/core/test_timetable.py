"""Scheduled prompts through the studio's door, and ``calotype schedule``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from calotype.bus import Bus
from calotype.catalog import Catalog
from calotype.cli import main
from calotype.config import Settings
from calotype.errors import BadRequest, DatabaseError, NotAllowed
from calotype.images.store import ImageStore
from calotype.ledger import Ledger, timetable
from calotype.moderation.desk import Limits, Moderation
from calotype.moderation.prompts import PromptReview
from calotype.person import OPERATOR, Person
from calotype.request import Request
from calotype.studio import Studio
from calotype.timetable import add_from, listed, removed
from databases import PostgresServer, postgres_server, sqlite_databases

ANN, BOB = Person("discord:1", "Ann"), Person("discord:2", "Bob")
CAT = Request(prompt="blue cat", steps=4)
EVERY_MINUTE = "* * * * *"


class NoWork:
    """Nobody makes pictures."""

    ready, problem, held, engine = False, None, None, None

    def wake(self) -> None: ...
    def submitted(self, job_id: str) -> None: ...
    def cancel(self, job_id: str) -> None: ...
    async def pause(self, job_id: str) -> None: ...
    async def resume(self, job_id: str) -> None: ...
    def is_paused(self, job_id: str) -> bool:
        return False

    async def stop(self, drain: float) -> None: ...


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return sqlite_databases(tmp_path)()
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.ready()


@asynccontextmanager
async def studio_at(url: str, folder: Path, catalog: Catalog) -> AsyncIterator[Studio]:
    settings = Settings.load(home=folder, roles={"member": {"queued": 2}})
    with closing(Ledger(url, settings.limits)) as ledger:
        store = ImageStore(folder / "images")
        moderation = Moderation(ledger.blocked, PromptReview(["gore"]), catalog.registry.reviews, Limits(10, 10))
        yield Studio(ledger, store, catalog, Bus(), NoWork(), moderation)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 60))  # type: ignore[arg-type]


async def age(studio: Studio) -> None:
    """As if all had been added an hour ago, and none had been due since."""
    table = timetable.scheduled_prompts
    change = table.update().values(created=datetime.now(UTC) - timedelta(hours=1))
    database, forget = studio._ledger._database, timetable.periods.chores_done.delete()
    await asyncio.to_thread(database.write, lambda c: [c.execute(change), c.execute(forget)])


def test_each_time_is_one_job_of_its_owner(url: str, tmp_path: Path, catalog: Catalog) -> None:
    async def scenario() -> None:
        async with studio_at(url, tmp_path, catalog) as studio:
            reply_to = {"front_end": "discord", "channel_id": 5}
            added = await studio.timetable.add(CAT, ANN, EVERY_MINUTE, reply_to=reply_to)
            assert await studio.timetable.submit_due() == 0
            await age(studio)
            assert await studio.timetable.submit_due() == 1  # sixty times were missed: one job
            (job,) = await studio.history(ANN)
            assert (job.person, job.reply_to) == (ANN.key, reply_to)
            assert job.request.seed is not None
            await age(studio)  # somebody takes over who does not know that it was done: the ledger does
            assert await studio.timetable.submit_due() == 1
            jobs = await studio.history(ANN)
            assert len(jobs) in (1, 2)  # a minute may just have ended
            await studio.timetable.remove(added.id, ANN)
            await age(studio)
            assert await studio.timetable.submit_due() == 0

    run(scenario)


def test_what_is_refused_is_noted_and_tried_at_its_next_time(url: str, tmp_path: Path, catalog: Catalog) -> None:
    async def scenario() -> None:
        async with studio_at(url, tmp_path, catalog) as studio:
            await studio.timetable.add(CAT, ANN, EVERY_MINUTE)
            for _ in range(2):
                await studio.submit(CAT, ANN)
            await age(studio)
            assert await studio.timetable.submit_due() == 0
            (prompt,) = await studio.timetable.list(ANN)
            assert prompt.error is not None
            assert "2" in prompt.error  # the cap of a member here
            assert len(await studio.history(ANN)) == 2
            for job in await studio.history(ANN):
                await studio.cancel(job.id, ANN)
            await age(studio)
            assert await studio.timetable.submit_due() == 1
            assert (await studio.timetable.list(ANN))[0].error is None

    run(scenario)


def test_a_database_that_is_away_loses_nothing(
    url: str, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with studio_at(url, tmp_path, catalog) as studio:
            await studio.timetable.add(CAT, ANN, EVERY_MINUTE)
            await age(studio)

            def away(*_: Any, **__: Any) -> Any:
                raise DatabaseError("database: gone")

            with monkeypatch.context() as patch:
                patch.setattr(studio._ledger, "submit", away)
                with pytest.raises(DatabaseError):
                    await studio.timetable.submit_due()
            assert await studio.timetable.submit_due() == 1

    run(scenario)


def test_bad_input_is_refused_when_it_is_added(url: str, tmp_path: Path, catalog: Catalog) -> None:
    async def scenario() -> None:
        async with studio_at(url, tmp_path, catalog) as studio:
            for request, cron, zone, field in (
                (Request(prompt="gore"), "@daily", "UTC", "prompt"),
                (Request(prompt="cat", sampler="none"), "@daily", "UTC", "sampler"),
                (Request(prompt="cat", init_image="0" * 64), "@daily", "UTC", "init_image"),
                (CAT, "yesterday", "UTC", "cron"),
                (CAT, "@daily", "Moon", "timezone"),
            ):
                with pytest.raises(BadRequest, match=f"^{field}: "):
                    await studio.timetable.add(request, ANN, cron, zone)
            assert await studio.timetable.list(OPERATOR) == []

    run(scenario)


def test_whose_they_are(url: str, tmp_path: Path, catalog: Catalog) -> None:
    async def scenario() -> None:
        async with studio_at(url, tmp_path, catalog) as studio:
            mine = await studio.timetable.add(CAT, ANN, "@daily")
            other = await studio.timetable.add(CAT, BOB, "@daily")
            assert [each.id for each in await studio.timetable.list(ANN)] == [mine.id]
            with pytest.raises(BadRequest, match="is not one of your scheduled prompts"):
                await studio.timetable.remove(other.id, ANN)
            assert len(await studio.timetable.list(OPERATOR)) == 2
            await studio.timetable.remove(other.id, OPERATOR)

    run(scenario)


def test_what_the_operator_adds_in_plain_values(url: str, tmp_path: Path, catalog: Catalog) -> None:
    async def scenario() -> None:
        async with studio_at(url, tmp_path, catalog) as studio:
            body: dict[str, Any] = {"cron": "0 9 * * 1", "request": {"prompt": "cat"}}
            for by in (ANN, Person("api:x")):
                for call in (add_from(studio.timetable, body, by), listed(studio.timetable, by)):
                    with pytest.raises(NotAllowed):
                        await call
            for change, field in (
                ({"cron": None}, "cron"),
                ({"cron": 5}, "cron"),
                ({"request": "cat"}, "request"),
                ({"request": {"prompt": ""}}, "prompt"),
                ({"owner": ""}, "owner"),
                ({"owner": "x" * 2000}, "owner"),
                ({"reply_to": "discord"}, "reply_to"),
                ({"reply_to": {"channel": 1}}, "reply_to"),
                ({"who": 1}, "who"),
            ):
                with pytest.raises(BadRequest) as caught:
                    await add_from(studio.timetable, {**body, **change}, OPERATOR)
                assert caught.value.problems[0].field == field
            added = await add_from(studio.timetable, {**body, "owner": ANN.key}, OPERATOR)
            assert added["owner"] == ANN.key
            assert datetime.fromisoformat(added["next"]).strftime("%a %H:%M") == "Mon 09:00"
            assert (await listed(studio.timetable, OPERATOR))["data"] == [added]
            assert (await removed(studio.timetable, added["id"], OPERATOR))["removed"]

    run(scenario)


def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("CALOTYPE_HOME", str(tmp_path / "home"))

    def said(*words: str, code: int = 0) -> str:
        assert main(["schedule", *words]) == code
        captured = capsys.readouterr()
        return captured.out if code == 0 else captured.err

    assert "1: next at " in said("add", "0 9 * * mon", "blue cat", "--timezone", "Europe/Berlin", "--images", "2")
    added = json.loads(said("add", "@daily", "dog", "--owner", "discord:7", "--channel", "discord:55", "--json"))
    assert (added["id"], added["owner"], added["front_end"]) == (2, "discord:7", "discord")
    assert [each["request"]["prompt"] for each in json.loads(said("list", "--json"))] == ["blue cat", "dog"]
    assert "1: 0 9 * * mon (Europe/Berlin), operator: blue cat" in said("list")
    assert "cron: 'never' has 1 fields" in said("add", "never", "cat", code=2)
    assert "steps: " in said("add", "@daily", "cat", "--steps", "0", code=2)
    assert "channel: 'x' is not FRONT_END:CHANNEL" in said("add", "@daily", "cat", "--channel", "x", code=2)
    assert "is not a channel's number" in said("add", "@daily", "cat", "--channel", "discord:x", code=2)
    assert "page posts nothing by itself" in said("add", "@daily", "cat", "--channel", "page:1", code=2)
    assert "2: removed" in said("remove", "2")
    assert "id: 2 is not one of your scheduled prompts" in said("remove", "2", code=2)
    assert len(json.loads(said("list", "--json"))) == 1
