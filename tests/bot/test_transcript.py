"""A typical conversation, played for real and drawn as one page; CALOTYPE_TRANSCRIPT names a folder to keep it in."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bot_stage import Shown, Stage, labels, on_discord, run, service, words
from transcript import Page

from calotype.job import JobStatus
from calotype_bot import looks

FULL = {"steps": 20, "options": None}


async def _waiting(at: Stage, page: Page) -> None:
    busy = (
        await at.imagine(at.bert, prompt="red fox, 3d style", steps=150, images=8, sampler="heun", options=None)
    ).response
    assert busy is not None
    await at.until(lambda: "step" in words(busy))
    queued = [(await at.imagine(seed=seed, **FULL)).response for seed in (1, 2)]
    last = queued[-1]
    assert last is not None
    await at.until(lambda: "before yours" in words(last))
    page.chapter("In the queue")
    await page.message(last.message)
    await at.until(lambda: bool(busy.attachments))
    page.chapter("Under way, with a look at the picture so far")
    await page.message(busy.message, "bert used <b>/imagine</b>")
    await at.bert.click(busy, label="Cancel")
    await at.until(lambda: "Cancelled." in words(busy))
    page.chapter("Called off")
    await page.message(busy.message, "bert used <b>/imagine</b>")
    await at.until(lambda: "Re-roll" in labels(last), 60)


async def _finished(at: Stage, page: Page) -> None:
    one = (await at.imagine(prompt="blue cat", seed=4, **FULL)).response
    many = (
        await at.imagine(
            prompt="penguin with a hat",
            negative="green",
            steps=20,
            images=4,
            seed=11,
            options="film_grain.strength=0.2",
        )
    ).response
    assert one is not None
    assert many is not None
    await at.until(lambda: "Re-roll" in labels(one) and "Re-roll" in labels(many), 60)
    page.chapter("Finished")
    await page.message(one.message)
    await page.message(many.message)
    form = await at.anna.click(one, label="Vary")
    page.chapter("Vary")
    assert form.modal is not None
    page.form(form.modal)


async def _odd(at: Stage, page: Page) -> None:
    grain = at.studio.catalog.registry.postprocessors["film_grain"]

    def broken(*_: Any, **__: Any) -> Any:
        raise ValueError("out of silver")

    grain.process = broken  # type: ignore[method-assign]
    try:
        skipped = (await at.imagine(prompt="an owl", steps=20, options="film_grain=on")).response
        assert skipped is not None
        await at.until(lambda: "Re-roll" in labels(skipped), 60)
    finally:
        del grain.process  # type: ignore[method-assign]
    page.chapter("Finished, with a note")
    await page.message(skipped.message)
    heun = at.studio.catalog.registry.samplers["heun"]
    heun.run = broken  # type: ignore[method-assign]
    try:
        failed = (await at.imagine(prompt="an owl", sampler="heun")).response
        assert failed is not None
        await at.until(lambda: "failed" in words(failed), 60)
    finally:
        del heun.run  # type: ignore[method-assign]
    page.chapter("Failed")
    await page.message(failed.message)
    nasty = "@everyone <@1> **bold** ||spoiler|| # https://example.org \u202eabc\u200b"
    shown = (await at.imagine(prompt=nasty, steps=20, options=None)).response
    assert shown is not None
    await at.until(lambda: "Re-roll" in labels(shown), 60)
    page.chapter("A prompt that would like to be markdown")
    await page.message(shown.message)


async def _private(at: Stage, page: Page) -> None:
    page.chapter("Something wrong with it: only the person sees that")
    for wrong in (
        {"options": "film_grain.strength=7 grain=on"},
        {"options": "film_grain.strength=7"},
        {"sampler": "magic"},
    ):
        result = await at.imagine(**wrong)
        await page.message(result.followups[0].message)
    page.chapter("Private")
    private = (await at.imagine(prompt="rocket", private=True, **FULL)).response
    assert private is not None
    await at.until(lambda: "Re-roll" in labels(private), 60)
    await page.message(private.message)
    page.chapter("Somebody else's button")
    told = await at.bert.click(at.public()[-1], label="Re-roll")
    assert told.response is not None
    await page.message(told.response.message, "bert pressed <b>Re-roll</b>")


async def _late(at: Stage, page: Page) -> None:
    (job, *_) = await at.jobs()
    page.chapter("While the model loads")
    await page.message(_Drawn(Shown(looks.waiting(job, 2, False, False)).components))
    page.chapter("More than fifteen minutes later")
    await page.message(_Drawn(Shown(looks.moved()).components))
    broken = replace(job, status=JobStatus.FAILED, error="an example")
    await page.message(_Drawn(Shown(looks.late(looks.ended(broken, at.studio), "anna")).components), "")


class _Drawn:
    content = ""
    attachments = ()

    class flags:
        ephemeral = False

    def __init__(self, components: Any) -> None:
        self.components = components


@pytest.mark.filterwarnings("ignore")
def test_a_conversation(tmp_path: Path) -> None:
    page = Page()

    async def scenario() -> None:
        async with service(tmp_path / "home", slots=1, residents=1) as studio, on_discord(studio, patient=False) as at:
            for chapter in (_waiting, _finished, _odd, _private, _late):
                await chapter(at, page)

    run(scenario)
    folder = Path(os.environ.get("CALOTYPE_TRANSCRIPT") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "discord.html").write_text(page.html(), encoding="utf-8")
    assert page.html().count("<article") >= 12
