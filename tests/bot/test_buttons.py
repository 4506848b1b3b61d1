"""Buttons: the owner's, a stranger's, a moderator's, and those of jobs that are no more."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bot_stage import House, Stage, labels, run, stage, words

from calotype.errors import UnknownJob
from calotype.job import JobStatus
from calotype.person import OPERATOR
from calotype_bot.buttons import JobButton, Press
from calotype_bot.desk import SOMEBODY_ELSES, UNKNOWN
from calotype_bot.vary import GONE, PREFIX, varied

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


def fields(form: Any) -> dict[str, Any]:
    """What a form asks, and what it proposes."""
    assert form.modal is not None
    return {part["component"]["custom_id"]: part["component"].get("value", "") for part in form.modal["components"]}


@pytest.mark.parametrize("restarted", [False, True])
def test_vary_starts_from_the_picture_with_a_new_seed(house: House, restarted: bool) -> None:
    async def scenario(at: Stage) -> None:
        first = (await at.imagine(negative="hat", seed=7, steps=10)).response
        assert first is not None
        form = await at.anna.click(first, label="Vary")
        assert fields(form) == {"prompt": "blue cat", "negative": "hat", "strength": "0.7", "seed": ""}
        if restarted:
            await at.restart()
        sent = await at.anna.submit_modal(form, {"prompt": "red cat", "negative": "", "strength": "0,4", "seed": ""})
        assert sent.response is not None
        assert "**red cat**" in words(sent.response)
        assert "from a picture, 4 of 10 steps (strength 0.4)" in words(sent.response).replace("\\", "")
        new, old, *_ = await at.jobs()
        assert new.request.init_image == old.pictures[0].sha256
        assert (new.request.strength, new.request.negative_prompt) == (0.4, "")
        assert new.request.seed != old.request.seed == 7
        assert new.pictures[0].sha256 != old.pictures[0].sha256
        again = await at.anna.click(sent.response, label="Re-roll")  # the same picture is started from
        assert again.response is not None
        assert again.response.attachments
        assert (await at.jobs())[0].request.init_image == old.pictures[0].sha256

    house.run(scenario)


def test_vary_of_one_of_several_pictures(house: House) -> None:
    async def scenario(at: Stage) -> None:
        first = (await at.imagine(images=3)).response
        assert first is not None
        form = await at.anna.click(first, label="Vary")
        assert list(fields(form)) == ["prompt", "negative", "picture", "strength", "seed"]
        given = {"prompt": "cat", "negative": "", "strength": "", "seed": "5"}
        await at.anna.submit_modal(form, {**given, "picture": "3"})
        new, old, *_ = await at.jobs()
        assert new.request.init_image == old.pictures[2].sha256
        assert (new.request.strength, new.request.seed) == (0.7, 5)
        wrong = await at.anna.submit_modal(await at.anna.click(first, label="Vary"), {**given, "picture": "4"})
        assert "'4' is not a whole number from 1 to 3" in wrong.followups[0].content.replace("\\", "")
        assert (await at.jobs())[0].id == new.id

    house.run(scenario)


def test_a_form_from_before_there_were_pictures_to_start_from(house: House) -> None:
    async def scenario(at: Stage) -> None:
        assert (await at.imagine(seed=7)).response is not None
        (job, *_) = await at.jobs()
        sent = {"prompt": "red cat", "negative": "", "seed": "7"}
        rows = [{"type": 18, "component": {"custom_id": name, "value": value}} for name, value in sent.items()]
        old: Any = SimpleNamespace(data={"custom_id": f"{PREFIX}{job.id}", "components": rows})
        assert varied(job, old) == job.request.model_copy(update={"prompt": "red cat"})

    house.run(scenario)


def test_vary_of_a_picture_whose_file_is_gone(house: House) -> None:
    async def scenario(at: Stage) -> None:
        first = (await at.imagine(seed=99)).response
        assert first is not None
        (job, *_) = await at.jobs()
        form = await at.anna.click(first, label="Vary")
        at.studio.picture_path(job.pictures[0].sha256).unlink()
        late = await at.anna.submit_modal(form, {"prompt": "cat", "negative": "", "strength": "0.5", "seed": ""})
        assert late.followups[0].ephemeral
        assert "its file is no longer kept here" in late.followups[0].content.replace("\\", "")
        told = await at.anna.click(first, label="Vary")
        assert told.response is not None
        assert told.response.ephemeral
        assert told.response.content == GONE
        assert (await at.jobs())[0].id == job.id
        assert len(at.public()) == 1

    house.run(scenario)


def test_vary_of_what_was_called_off_changes_its_words(house: House) -> None:
    async def scenario(at: Stage) -> None:
        running = (await at.imagine(**LONG, options=None, images=8)).response
        assert running is not None
        await at.until(lambda: labels(running) == ["Cancel"])
        await at.anna.click(running, label="Cancel")
        await at.until(lambda: labels(running) == ["Re-roll", "Vary", "Delete"])
        form = await at.anna.click(running, label="Vary")
        assert list(fields(form)) == ["prompt", "negative", "seed"]

    house.run(scenario, patient=False)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"seed": "many"}, "is not a whole number"),
        ({"seed": "9999999999999999"}, "at most 9007199254740991"),
        ({"prompt": "  "}, "is empty"),
        ({"strength": "much"}, "**how much to change**: 'much' is not a number from 0.05 to 1"),
        ({"strength": "0"}, "it must be above 0"),
        ({"strength": "1.5"}, "at most 1"),
        ({"strength": "nan"}, "is not a number"),
    ],
)
def test_a_form_with_something_wrong(house: House, given: dict[str, Any], said: str) -> None:
    async def scenario(at: Stage) -> None:
        first = (await at.imagine()).response
        assert first is not None
        before = len(await at.jobs())
        form = await at.anna.click(first, label="Vary")
        values = {"prompt": "cat", "negative": "", "strength": "0.5", "seed": "1", **given}
        sent = await at.anna.submit_modal(form, values)
        assert said in sent.followups[0].content.replace("\\", "")
        assert sent.followups[0].ephemeral
        assert len(await at.jobs()) == before
        assert len(at.public()) == 1

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
