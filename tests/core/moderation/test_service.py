"""Moderation through the whole service: what is refused is told in plain words, and nothing of it is kept."""

from __future__ import annotations

import asyncio
import io
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from calotype.bootstrap import catalog_for, open_service
from calotype.config import Settings
from calotype.errors import BadRequest, SetupError
from calotype.events import Event, Failed, Finished, Stepped
from calotype.home import Home
from calotype.images.intake import encode
from calotype.job import Job, JobStatus
from calotype.ledger.removed import REMOVED
from calotype.person import OPERATOR, Person
from calotype.plugins.testing import picture
from calotype.request import Request
from calotype.studio import Studio
from strangers import write_plugin

ANNA = Person("test:anna", "Anna")
CENSOR = """
import threading
import calotype

done = []

@calotype.hookimpl
def calotype_review_prompt(request, person):
    if "hang" in request.prompt:
        threading.Event().wait()
    if "raise" in request.prompt:
        raise RuntimeError("out of cheese")
    if "duck" in request.prompt:
        return calotype.Refusal("is about ducks; ask for another bird", "duck rule")

@calotype.hookimpl
def calotype_review_picture(image, info):
    if info.prompt is None:
        return calotype.Refusal("shows a duck") if image.width == 77 else None
    if "pig" in info.prompt:
        return calotype.Refusal("shows a pig", "score 0.97")
    if "broken" in info.prompt:
        raise RuntimeError("out of memory")
    if "second" in info.prompt:
        done.append(info.job_id)
        return calotype.Refusal("shows a pig") if len(done) == 2 else None
"""


@pytest.fixture
def censor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """A plugin with reviews, and the settings that switch it on."""
    import sys

    write_plugin(tmp_path / "site", "a_censor", CENSOR)
    monkeypatch.syspath_prepend(tmp_path / "site")
    yield {"plugins": ("a_censor",), "plugin_seconds": 0.5}
    sys.modules.pop("a_censor", None)


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
    asyncio.run(asyncio.wait_for(scenario(), 180))  # type: ignore[arg-type]


def wish(prompt: str, **fields: Any) -> Request:
    return Request.parse({"prompt": prompt, "steps": 3, "seed": 1, **fields})


async def events_of(studio: Studio, job: Job) -> list[Event]:
    return [event async for event in studio.watch(job.id)]


async def refusal(studio: Studio, request: Request) -> str:
    with pytest.raises(BadRequest) as caught:
        await studio.submit(request, ANNA)
    return str(caught.value)


def audited(studio: Studio) -> list[tuple[str, str, dict[str, Any]]]:
    return [(each.action, each.subject, dict(each.details)) for each in studio.moderation.audit(OPERATOR)]


def stored(home: Path) -> int:
    return len(list((home / "images").glob("*/*")))


def test_a_refused_prompt_leaves_nothing_but_its_rule(tmp_path: Path, censor: dict[str, Any]) -> None:
    home = tmp_path / "home"

    async def scenario() -> None:
        async with service(home, **censor) as studio:
            said = await refusal(studio, wish("a secret duck"))
            assert said == "prompt: is about ducks; ask for another bird"
            assert await refusal(studio, wish("nude child")) == (
                "prompt: asks for something that no service may make; please ask for something else"
            )
            assert sum((await studio.counts()).values()) == 0
            assert audited(studio) == [
                ("refuse_prompt", "test:anna", {"rule": "sexual depiction of minors"}),
                ("refuse_prompt", "test:anna", {"rule": "a_censor", "reason": "duck rule"}),
            ]

    run(scenario)
    with sqlite3.connect(home / "calotype.db") as database:
        dump = "\n".join(database.iterdump())
    assert "secret" not in dump and "child" not in dump
    assert "INSERT INTO jobs" not in dump and 'INSERT INTO "jobs"' not in dump
    assert stored(home) == 0


def test_a_word_holds_at_once_and_a_known_key_is_still_told_its_job(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with service(tmp_path) as studio:
            first = await studio.submit(wish("cat with a hat"), ANNA, key="k")
            assert await asyncio.to_thread(studio.moderation.block_word, "HAT", OPERATOR)
            assert "does not allow" in await refusal(studio, wish("cat with a hat"))
            assert (await studio.submit(wish("cat with a hat"), ANNA, key="k")).id == first.id
            await studio.submit(wish("cat", negative_prompt="hat"), ANNA)
            await asyncio.to_thread(studio.moderation.unblock_word, "hat", OPERATOR)
            await studio.submit(wish("cat with a hat"), ANNA)

    run(scenario)


def test_a_refused_picture_fails_its_job_in_plain_words(tmp_path: Path, censor: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with service(tmp_path / "home", **censor) as studio:
            job = await studio.submit(wish("pig"), ANNA, reply_to={"front_end": "test"})
            assert (await events_of(studio, job))[-1] == Failed(job.id, "the picture was not given out: shows a pig")
            failed = await studio.job(job.id, ANNA)
            assert (failed.status, failed.attempts) == (JobStatus.FAILED, 1)
            assert failed.pictures == ()
            assert [each.job.id for each in await studio.deliveries("test")] == [job.id]
            assert audited(studio) == [
                ("refuse_picture", job.id, {"rule": "a_censor", "reason": "score 0.97", "index": 0, "seed": 1})
            ]
            assert stored(tmp_path / "home") == 0

    run(scenario)


def test_the_other_pictures_of_a_job_are_given_out(tmp_path: Path, censor: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with service(tmp_path / "home", **censor) as studio:
            job = await studio.submit(wish("second cat", images=3), ANNA)
            done = (await events_of(studio, job))[-1]
            assert isinstance(done, Finished)
            assert len(done.pictures) == 2
            assert {each.notes[-1] for each in done.pictures} == {"1 of 3 pictures was not given out: shows a pig"}
            found = await studio.job(job.id, ANNA)
            assert found.pictures == done.pictures
            (entry,) = audited(studio)
            assert found.record["refused"] == [entry[2]["index"]]
            assert found.record["plugins"]["a_censor"] == "1.2"
            assert stored(tmp_path / "home") == 2

    run(scenario)


def test_a_brought_picture_is_reviewed(tmp_path: Path, censor: dict[str, Any]) -> None:
    async def scenario() -> None:
        async with service(tmp_path / "home", **censor) as studio:
            with pytest.raises(BadRequest, match=r"^picture: shows a duck$"):
                await studio.take_in(encode(picture(77, 64)), ANNA)
            assert stored(tmp_path / "home") == 0
            assert [each[:2] for each in audited(studio)] == [("refuse_upload", "test:anna")]
            await studio.take_in(encode(picture(78, 64)), ANNA)

    run(scenario)


@pytest.mark.parametrize("public", [False, True])
def test_reviews_that_fail(tmp_path: Path, censor: dict[str, Any], public: bool) -> None:
    async def scenario() -> None:
        async with service(tmp_path / "home", public=public, **censor) as studio:
            if public:
                for prompt in ("raise", "hang"):
                    said = await refusal(studio, wish(prompt))
                    assert said == "prompt: could not be reviewed; try again later"
                job = await studio.submit(wish("broken cat"), ANNA)
                assert (await studio.wait(job.id)).error == (
                    "the picture was not given out: could not be reviewed; try again later"
                )
                assert stored(tmp_path / "home") == 0
                return
            for prompt in ("raise", "hang", "broken cat"):
                job = await studio.submit(wish(prompt), ANNA)
                done = await studio.wait(job.id)
                assert done.status is JobStatus.FINISHED
            assert done.pictures[0].notes[-1] == "the review by a_censor was skipped: it failed"

    run(scenario)


def test_what_looks_like_a_blocked_picture_is_not_made_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with service(tmp_path) as studio:
            first = await studio.wait((await studio.submit(wish("cat"), ANNA)).id)
            sha256 = first.pictures[0].sha256
            png = studio.picture_path(sha256).read_bytes()
            (blocked,) = await asyncio.to_thread(studio.moderation.block_job, first.id, None, "unwanted", OPERATOR)
            with pytest.raises(KeyError):
                studio.picture_path(sha256)
            assert (await studio.job(first.id, ANNA)).pictures[0].notes == (REMOVED,)
            said = "is too much like one that this service does not allow"
            for again in (wish("cat"), wish("cat", options={"upscale": False})):  # the same, and it in small
                job = await studio.submit(again, ANNA)
                assert (await studio.wait(job.id)).error == f"the picture was not given out: {said}"
            with pytest.raises(BadRequest, match=said):
                await studio.take_in(png, ANNA)
            smaller = io.BytesIO()
            Image.open(io.BytesIO(png)).resize((180, 180)).save(smaller, "JPEG", quality=70)
            with pytest.raises(BadRequest, match=said):
                await studio.take_in(smaller.getvalue(), ANNA)
            with pytest.raises(BadRequest, match="init_image: its file is no longer kept"):
                await studio.submit(wish("tiger", init_image=sha256), ANNA)
            assert stored(tmp_path) == 0
            await asyncio.to_thread(studio.moderation.unblock_picture, blocked.hash, OPERATOR)
            job = await studio.submit(wish("cat"), ANNA)
            assert (await studio.wait(job.id)).pictures[0].sha256 == sha256

    run(scenario)


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({}, True), ({"public": True}, False), ({"public": True, "previews": "on"}, True), ({"previews": "off"}, False),
        ({"public": True, "plugins": ()}, True),
    ],
)  # fmt: skip
def test_previews_of_what_may_be_refused(
    tmp_path: Path, censor: dict[str, Any], settings: dict[str, Any], shown: bool
) -> None:
    async def scenario() -> None:
        async with service(tmp_path / "home", **{**censor, **settings}) as studio:
            job = await studio.submit(wish("cat", steps=12), ANNA)
            steps = [event for event in await events_of(studio, job) if isinstance(event, Stepped)]
            assert any(event.preview is not None for event in steps) == shown
            assert steps, "progress is told all the same"

    run(scenario)


def test_the_bundled_list_cannot_be_switched_off_in_public(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALOTYPE_BUNDLED_WORDS", "off")
    assert not Settings.load().bundled_words
    monkeypatch.setenv("CALOTYPE_PUBLIC", "on")
    with pytest.raises(SetupError, match="CALOTYPE_BUNDLED_WORDS: cannot be switched off while CALOTYPE_PUBLIC is on"):
        Settings.load()
