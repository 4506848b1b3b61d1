"""Buttons: the owner's, a stranger's, a moderator's, and those of jobs that are no more."""

from __future__ import annotations

from pathlib import Path

import pytest
from bot_stage import House, Stage, labels, run, stage, words

from calotype.errors import UnknownJob
from calotype.job import JobStatus
from calotype.person import OPERATOR
from calotype_bot.buttons import JobButton, Press
from calotype_bot.desk import SOMEBODY_ELSES, UNKNOWN

LONG = {"steps": 150, "sampler": "heun"}


def test_reroll_is_the_same_with_a_new_seed(house: House) -> None:
    async def scenario(at: Stage) -> None:
        first = (await at.imagine(negative="hat", guidance=3.0)).response
        assert first is not None
        again = await at.anna.click(first, label="Re-roll")
        assert again.response is not None
        assert again.response.id != first.id
        assert again.response.attachments
        new, old, *_ = await at.jobs()
        assert new.request.seed != old.request.seed
        assert new.request.model_copy(update={"seed": None}) == old.request.model_copy(update={"seed": None})
        assert len(at.public()) == 2

    house.run(scenario)


def test_buttons_outlive_the_process(house: House) -> None:
    async def scenario(at: Stage) -> None:
        first = (await at.imagine()).response
        assert first is not None
        await at.restart()
        again = await at.anna.click(first, label="Re-roll")
        assert again.response is not None
        assert again.response.attachments

    house.run(scenario)


def test_private_pictures_have_private_children(house: House) -> None:
    async def scenario(at: Stage) -> None:
        first = (await at.imagine(private=True)).response
        assert first is not None
        again = await at.anna.click(first, label="Re-roll")
        assert again.response is not None
        assert again.response.ephemeral
        gone = await at.anna.click(first, label="Delete")
        assert not gone.followups

    house.run(scenario)


def test_delete_takes_message_and_picture(house: House) -> None:
    async def scenario(at: Stage) -> None:
        first = (await at.imagine()).response
        assert first is not None
        (job, *_) = await at.jobs()
        await at.anna.click(first, label="Delete")
        assert not at.public()
        with pytest.raises(UnknownJob):
            await at.studio.job(job.id)

    house.run(scenario)


@pytest.mark.parametrize("label", ["Re-roll", "Vary", "Delete"])
def test_somebody_elses_buttons(house: House, label: str) -> None:
    async def scenario(at: Stage) -> None:
        first = (await at.imagine()).response
        assert first is not None
        before = await at.jobs()
        told = await at.bert.click(first, label=label)
        assert told.response is not None
        assert told.response.ephemeral
        assert told.response.content == SOMEBODY_ELSES
        assert [job.id for job in await at.jobs()] == [job.id for job in before]
        assert len(at.public()) == 1

    house.run(scenario)


def test_a_moderator_deletes_but_does_not_use(house: House) -> None:
    async def scenario(at: Stage) -> None:
        first = (await at.imagine()).response
        assert first is not None
        for label in ("Re-roll", "Vary"):
            told = await at.mod.click(first, label=label)
            assert told.response is not None
            assert told.response.content == SOMEBODY_ELSES
        (job, *_) = await at.jobs()
        await at.mod.click(first, label="Delete")
        assert not at.public()
        with pytest.raises(UnknownJob):
            await at.studio.job(job.id)
        (entry,) = at.studio.moderation.audit(OPERATOR, subject=job.id)
        assert entry.action == "erase_job"
        assert entry.actor != job.person == (entry.details or {})["owner"]

    house.run(scenario)


@pytest.mark.parametrize("label", ["Re-roll", "Vary"])
def test_buttons_of_a_job_that_is_no_more(house: House, label: str) -> None:
    async def scenario(at: Stage) -> None:
        first = (await at.imagine()).response
        assert first is not None
        await at.studio.erase((await at.jobs())[0].id, OPERATOR)
        told = await at.anna.click(first, label=label)
        found = told.followups[0] if told.followups else told.response
        assert found is not None
        assert found.ephemeral
        assert found.content == UNKNOWN
        assert len(at.public()) == 1
        await at.anna.click(first, label="Delete")  # what is left of it can still be put away
        assert not at.public()

    house.run(scenario)


def test_cancel_while_running(house: House) -> None:
    async def scenario(at: Stage) -> None:
        async def status(place: int) -> JobStatus:
            return (await at.jobs())[place].status

        async def runs() -> bool:
            return await status(0) is JobStatus.RUNNING

        running = (await at.imagine(**LONG, options=None, images=8)).response
        assert running is not None
        await at.until(runs)
        await at.until(lambda: labels(running) == ["Cancel"])
        told = await at.bert.click(running, label="Cancel")
        assert told.response is not None
        assert told.response.content == SOMEBODY_ELSES
        assert await status(0) is JobStatus.RUNNING
        await at.anna.click(running, label="Cancel")
        assert await status(0) is JobStatus.CANCELLED
        await at.until(lambda: "Cancelled." in words(running))
        assert labels(running) == ["Re-roll", "Vary", "Delete"]

    house.run(scenario, patient=False)


def test_cancel_of_a_private_job_after_its_token_is_void(house: House) -> None:
    async def scenario(at: Stage) -> None:
        running = (await at.imagine(**LONG, options=None, images=8, private=True)).response
        assert running is not None
        await at.until(lambda: labels(running) == ["Cancel"])
        await at.env.advance_time(16 * 60)
        await at.anna.click(running, label="Cancel")
        assert (await at.jobs())[0].status is JobStatus.CANCELLED
        await at.until(lambda: "Cancelled." in words(running))
        assert labels(running) == ["Re-roll", "Vary", "Delete"]

    house.run(scenario, patient=False)


def test_cancel_while_queued_also_by_a_moderator(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with stage(tmp_path, patient=False, slots=1, residents=1) as at:
            busy = (await at.imagine(at.bert, **LONG, options=None, images=8)).response
            waiting = (await at.imagine(at.anna)).response
            assert busy is not None
            assert waiting is not None
            await at.until(lambda: "1 job before yours" in words(waiting) or "is next" in words(waiting))
            await at.anna.click(waiting, label="Cancel")
            await at.until(lambda: "Cancelled." in words(waiting))
            await at.mod.click(busy, label="Cancel")
            await at.until(lambda: "Cancelled." in words(busy))
            assert {job.status for job in await at.jobs()} == {JobStatus.CANCELLED}

    run(scenario)


def test_cancel_of_what_is_over(house: House) -> None:
    async def scenario(at: Stage) -> None:
        first = (await at.imagine()).response
        assert first is not None
        (job, *_) = await at.jobs()
        # the button as it looked a moment ago
        stored = at.env.backend.get_message(at.channel.id, first.id)
        button = JobButton(Press.CANCEL, job.id, at.anna.id).item.to_component_dict()
        stored.components = [{"type": 1, "components": [dict(button)]}]
        told = await at.anna.click(first, label="Cancel")
        assert told.followups[0].content == "It was over already."
        assert told.followups[0].ephemeral

    house.run(scenario)


def test_every_custom_id_fits() -> None:
    for press in Press:
        assert len(JobButton(press, "f" * 32, 2**63).item.custom_id or "") <= 100
