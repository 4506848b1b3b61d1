"""Vary: another picture from the one that is shown, and what its form takes."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from bot_stage import House, Stage, labels, words

from calotype_bot.vary import GONE, PREFIX, varied

LONG = {"steps": 150, "sampler": "heun"}


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
        masked = replace(job, request=job.request.model_copy(update={"init_image": "ab" * 32, "mask": "cd" * 32}))
        assert varied(masked, old).mask == "cd" * 32, "only the words change"
        rows += [{"type": 18, "component": {"custom_id": "strength", "value": "0.5"}}]
        anew = varied(replace(masked, pictures=job.pictures), old)
        assert (anew.init_image, anew.mask) == (job.pictures[0].sha256, None), "it was painted on another picture"

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
