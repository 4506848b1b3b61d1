"""/link: one person on Discord and elsewhere. Only they see the answers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bot_stage import House, Stage, labels, run, stage, words

from calotype.errors import UnknownJob
from calotype.job import JobStatus
from calotype.person import OPERATOR, Person
from calotype.request import Request

TAB = Person("web:tab", "visitor", role="visitor")


async def link(at: Stage, who: object, **options: str) -> str:
    result = await who.slash(at.channel, "link", **options)  # type: ignore[attr-defined]
    assert result.response is not None
    assert result.response.ephemeral
    return words(result.response)


def test_a_code_made_here_is_shown_on_the_web(house: House) -> None:
    async def scenario(at: Stage) -> None:
        said = await link(at, at.anna)
        code = re.search(r"`([0-9A-Z]{4}-[0-9A-Z]{4})`", said)
        assert code is not None
        seen = len(at.public())
        job = await at.studio.submit(Request.parse({"prompt": "cat", "steps": 1, "seed": 1}), TAB)
        known = await at.studio.people.link(TAB, code[1])
        assert known.key == f"discord:{at.anna.id}"
        assert (await at.studio.job(job.id, Person(known.key))).id == job.id
        await at.studio.wait(job.id)
        assert len(at.public()) == seen

    house.run(scenario)


def test_a_code_made_on_the_web_is_shown_here(house: House) -> None:
    async def scenario(at: Stage) -> None:
        await at.imagine(at.bert)
        job = (await at.jobs())[0]
        web = Person("web:other", "visitor", role="visitor")
        with pytest.raises(UnknownJob):
            await at.studio.job(job.id, web)
        made = await at.studio.people.link_code(web)
        said = await link(at, at.bert, code=made.code.lower())
        assert "2 accounts are one person now" in said
        moved = await at.studio.job(job.id, web)
        assert (moved.person, moved.submitter) == (web.key, f"discord:{at.bert.id}")
        # what he asks for now is the same person's, and its message has its buttons
        await at.imagine(at.bert, seed=2)
        latest = (await at.jobs())[0]
        assert (latest.person, latest.status) == (web.key, JobStatus.FINISHED)
        assert "Re-roll" in labels(at.public()[-1])
        again = await link(at, at.bert, code=made.code)
        assert "is not a code that holds now" in again.replace("\\", "")

    house.run(scenario)


def test_buttons_know_the_other_account_of_the_same_person(house: House) -> None:
    async def scenario(at: Stage) -> None:
        await at.imagine(at.mod)
        message = at.public()[-1]
        before = len(await at.jobs())
        refused = await at.passer_by.click(message, label="Re-roll")
        assert "somebody else's picture" in words(refused.response)
        code = (await at.studio.people.link_code(Person(f"discord:{at.mod.id}"))).code
        await link(at, at.passer_by, code=code)
        await at.passer_by.click(message, label="Re-roll")
        jobs = await at.jobs()
        assert len(jobs) == before + 1
        assert jobs[0].submitter == f"discord:{at.passer_by.id}"

    house.run(scenario)


@pytest.mark.parametrize("code", ["what", "ABCD-EFGH"])
def test_a_wrong_code_is_told_to_its_person_only(house: House, code: str) -> None:
    async def scenario(at: Stage) -> None:
        assert "code" in await link(at, at.anna, code=code)

    house.run(scenario)


def test_guilds_and_bans_reach_the_bot(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(tmp_path) as at:
            await at.imagine()
            key = f"discord:{at.anna.id}"
            await at.studio.people.ban(key, "enough of that", OPERATOR)
            refused = await at.imagine()
            assert "enough of that" in "\n".join(words(each) for each in refused.followups)
            stored = at.studio._ledger._database.read(_guilds)
            assert stored == [f"discord:{at.guild.id}"]

    run(scenario)


def _guilds(connection: object) -> list[str]:
    from sqlalchemy import text

    return list(connection.scalars(text("SELECT guild FROM jobs")))  # type: ignore[attr-defined]
