"""/schedule: pictures at set times, posted by the bot itself."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import simcord
from bot_stage import House, Stage, labels, words

from calotype.ledger import timetable
from calotype.person import Person
from calotype.request import Request


async def schedule(at: Stage, who: simcord.MemberActor, act: str, **options: Any) -> str:
    result = await who.slash(at.channel, f"schedule {act}", **options)
    assert result.response is not None
    assert result.response.ephemeral
    return words(result.response)


async def an_hour_later(at: Stage) -> int:
    table = timetable.scheduled_prompts
    change = table.update().values(created=datetime.now(UTC) - timedelta(hours=1))
    await asyncio.to_thread(at.studio._ledger._database.write, lambda c: c.execute(change))
    return await at.studio.timetable.submit_due()


def test_added_listed_posted_removed(house: House) -> None:
    async def scenario(at: Stage) -> None:
        said = await schedule(at, at.owner(), "add", when="*/5 * * * *", prompt="blue cat", steps=1)
        assert "Number " in said
        number = int(said.split()[1].rstrip("."))
        assert f"**{number}** · `*/5 * * * *` UTC · blue cat" in await schedule(at, at.owner(), "list")
        person = Person(f"discord:{at.owner().id}")
        before = len(at.public())
        await an_hour_later(at)
        job = (await at.studio.history(person))[0]
        await at.studio.wait(job.id)
        at.bot.deliverer.kick()
        await at.until(lambda: len(at.public()) > before)
        message = at.public()[-1]
        assert "scheduled by olga" in words(message)
        assert "blue cat" in words(message)
        assert "Re-roll" in labels(message)
        assert len(message.attachments) == 1
        assert "is removed" in await schedule(at, at.owner(), "remove", number=number)
        assert "is not one of your scheduled prompts" in await schedule(at, at.owner(), "remove", number=number)
        assert "Nothing is scheduled" in await schedule(at, at.owner(), "list")

    house.run(scenario)


def test_what_cannot_be_read_is_said_to_the_person_only(house: House) -> None:
    async def scenario(at: Stage) -> None:
        seen = len(at.public())
        for options, expected in (
            ({"when": "tomorrow"}, "write five fields"),
            ({"when": "@daily", "timezone": "Moon"}, "is not known"),
        ):
            said = await schedule(at, at.owner(), "add", prompt="cat", **options)
            assert expected in said.replace("\\", "")
        assert len(at.public()) == seen

    house.run(scenario)


def test_only_for_those_who_manage_the_server(house: House) -> None:
    async def scenario(at: Stage) -> None:
        assert "schedule add" in at.owner().available_commands(at.channel)
        assert "schedule add" not in at.anna.available_commands(at.channel)

    house.run(scenario)


def test_managers_of_a_server_see_and_end_what_others_scheduled_in_it(house: House) -> None:
    async def scenario(at: Stage) -> None:
        guild = f"discord:{at.guild.id}"
        gone = Person("discord:4711", "gone", guild=guild)
        theirs = await at.studio.timetable.add(Request(prompt="owl"), gone, "@daily")
        other = await at.studio.timetable.add(
            Request(prompt="fox"), Person("discord:4711", guild="discord:1"), "@daily"
        )
        said = await schedule(at, at.owner(), "list")
        assert f"**{theirs.id}** · `@daily` UTC · owl · by somebody else" in said
        assert "fox" not in said
        assert "is not one of" in await schedule(at, at.owner(), "remove", number=other.id)
        assert "is removed" in await schedule(at, at.owner(), "remove", number=theirs.id)
        await at.studio.timetable.remove(other.id, gone)

    house.run(scenario)
