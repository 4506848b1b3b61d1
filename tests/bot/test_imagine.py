"""From /imagine to the picture, and everything that can be wrong with one."""

from __future__ import annotations

import io
from typing import Any

import pytest
from bot_stage import House, Stage, labels, words
from PIL import Image

from calotype.errors import BadRequest
from calotype.job import JobStatus
from calotype.request import SEED_LIMIT
from calotype.review import Refusal, Reviewer, Reviews
from calotype_bot.imagine import request_of
from calotype_bot.options import propose, read


def test_one_command_one_picture(house: House) -> None:
    async def scenario(at: Stage) -> None:
        before = len(await at.jobs())
        result = await at.imagine(steps=5)
        message = result.response
        assert message is not None
        assert not message.ephemeral
        assert not result.followups
        (attachment,) = message.attachments
        assert attachment.filename == "calotype-1.png"
        with Image.open(io.BytesIO(await attachment.read())) as image:
            assert image.size == (64, 64)
        said = words(message)
        for part in ("**blue cat**", "Calotype emoji", "Euler ancestral", "5 steps", "guidance 2", "seed 1", " s"):
            assert part in said
        assert labels(message) == ["Re-roll", "Vary", "Delete"]
        assert await at.studio.deliveries("discord") == []
        jobs = await at.jobs()
        assert len(jobs) == before + 1
        assert jobs[0].person == f"discord:{at.anna.id}"
        # acknowledged before anything else, and the result came by the reply's own token
        first, *later = [
            entry for entry in at.env.http_requests if "/callback" in entry.path or "/messages/" in entry.path
        ]
        assert first.json["type"] == 5
        assert later
        assert all(entry.method == "PATCH" and entry.path.startswith("/webhooks/") for entry in later)
        assert all(entry.json["allowed_mentions"]["parse"] == [] for entry in later)

    house.run(scenario)


def test_many_pictures_many_options(house: House) -> None:
    async def scenario(at: Stage) -> None:
        result = await at.imagine(
            prompt="red fox",
            negative="hat",
            steps=2,
            sampler="euler_ancestral",
            schedule="karras",
            guidance=6.5,
            seed=SEED_LIMIT,
            images=3,
            model="calotype-emoji",
            options="film_grain.strength=0.3 film_grain.size=2 upscale=off euler_ancestral.eta=0.5 karras.rho=5",
        )
        message = result.response
        assert message is not None
        assert len(message.attachments) == 3
        assert f"seeds {SEED_LIMIT}, 0, 1" in words(message)
        assert "guidance 6.5" in words(message)
        assert "not: hat" in words(message)
        (job, *_) = await at.jobs()
        assert job.request.options["film_grain"] == {"strength": 0.3, "size": 2}
        assert job.request.options["upscale"] is False
        assert job.request.options["euler_ancestral"] == {"eta": 0.5}
        assert job.request.options["karras"] == {"rho": 5.0}

    house.run(scenario)


def test_private_is_seen_by_one(house: House) -> None:
    async def scenario(at: Stage) -> None:
        result = await at.imagine(private=True)
        assert result.response is not None
        assert result.response.ephemeral
        assert result.response.attachments
        assert (await at.jobs())[0].reply_to is not None
        assert (await at.jobs())[0].reply_to["fallback"] is False  # type: ignore[index]

    house.run(scenario)


def test_in_a_direct_message(house: House) -> None:
    async def scenario(at: Stage) -> None:
        await at.anna.send_dm("hello")
        result = await at.anna.user.slash("imagine", prompt="cat", steps=2, options="upscale=off")
        assert result.response is not None
        assert result.response.attachments

    house.run(scenario)


BAD = [
    ({"sampler": "magic"}, "sampler", "is not one of"),
    ({"schedule": "magic"}, "schedule", "is not one of"),
    ({"model": "@everyone <@1> **x**"}, "model", "is not one of"),
    ({"options": "film_grain.strength=7"}, "strength", "at most 1"),
    ({"options": "nosuch=on"}, "nosuch", "no such plugin"),
    ({"options": "film_grain"}, "options", "is neither plugin"),
    ({"options": "film_grain.strength=x"}, "strength", "is not a number"),
    ({"options": "film_grain.nosuch=1"}, "nosuch", "is not a field"),
    ({"options": "heun=on"}, "heun", "is not used"),
    ({"prompt": "   "}, "prompt", "is empty"),
    ({"prompt": "a\u0000b"}, "prompt", "control characters"),
]


@pytest.mark.parametrize(("given", "field", "limit"), BAD)
@pytest.mark.parametrize("private", [False, True])
def test_what_is_wrong_is_told_to_its_person_alone(
    house: House, given: dict[str, Any], field: str, limit: str, private: bool
) -> None:
    async def scenario(at: Stage) -> None:
        before = len(await at.jobs())
        result = await at.imagine(**given, private=private)
        told = result.followups[0] if result.followups else result.response
        assert told is not None
        assert told.ephemeral
        assert not at.public()
        assert "Nothing was queued" in told.content
        assert field in told.content.replace("\\", "")
        assert limit in told.content.replace("\\", "")
        assert "<@1>" not in told.content
        assert len(await at.jobs()) == before

    house.run(scenario)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"prompt": "x" * 6000}, "at most 2000"),
        ({"prompt": "x", "negative": "y" * 6000}, "at most 2000"),
        ({"prompt": "x", "steps": 151}, "at most 150"),
        ({"prompt": "x", "guidance": 0.5}, "at least 1"),
        ({"prompt": "x", "guidance": float("nan")}, "not a number"),
        ({"prompt": "x", "seed": -1}, "at least 0"),
        ({"prompt": "x", "seed": SEED_LIMIT + 1}, f"at most {SEED_LIMIT}"),
        ({"prompt": "x", "images": 9}, "at most 8"),
        ({"prompt": "x", "options": "a.b"}, "is neither"),
        ({"prompt": "x", "options": "=on"}, "is neither"),
        ({"prompt": "x", "options": ".a=1"}, "is neither"),
        ({"prompt": "x", "options": "a.=1"}, "is neither"),
    ],
)
def test_limits_hold_even_if_discord_let_it_through(given: dict[str, Any], said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        request_of(given)


NASTY = [
    "@everyone @here <@1> <@&2> <#3> </imagine:4>",
    "**bold** _it_ ~~no~~ ||spoiler|| `code` # head",
    "a\u200bb\u202ec\u2066d\ufeffe",
    "[click](https://example.org) <:x:1> https://example.org",
    "\u0645\u0631\u062d\u0628\u0627 \U0001f469\u200d\U0001f680",
    "x" * 2000,
    "*" * 2000,
]


@pytest.mark.parametrize("prompt", NASTY)
def test_prompts_are_shown_as_they_are(house: House, prompt: str) -> None:
    async def scenario(at: Stage) -> None:
        result = await at.imagine(prompt=prompt, negative=prompt, steps=1)
        message = result.response
        assert message is not None
        assert message.attachments
        said = words(message)
        assert len(said) <= 4000
        assert not any(char in said for char in "\u200b\u202e\u2066\ufeff")
        seen = message.message
        assert not seen.mentions
        assert not seen.role_mentions
        assert not seen.mention_everyone

    house.run(scenario)


def test_autocomplete(house: House) -> None:
    async def scenario(at: Stage) -> None:
        async def offered(option: str, typed: str) -> list[str]:
            found = await at.anna.autocomplete(at.channel, "imagine", option, typed)
            assert len(found) <= 25
            assert all(0 < len(each["name"]) <= 100 and 0 < len(each["value"]) <= 100 for each in found)
            return [each["value"] for each in found]

        samplers = set(at.studio.catalog.registry.samplers)
        assert set(await offered("sampler", "")) == samplers
        assert await offered("sampler", "heu") == ["heun"]
        assert await offered("sampler", "DPM++ 2M") == ["dpmpp_2m", "dpmpp_2m_sde"]
        assert set(await offered("sampler", "DPM")) == {name for name in samplers if "dpm" in name}
        assert await offered("schedule", "kar") == ["karras"]
        assert await offered("model", "emoji") == ["calotype-emoji"]
        assert await offered("model", "nothing") == []
        assert "film_grain=on" in await offered("options", "")
        assert await offered("options", "film_grain.") == ["film_grain.strength=0.15", "film_grain.size=1"]
        assert await offered("options", "upscale=off film_grain.stre") == ["upscale=off film_grain.strength=0.15"]
        assert await offered("options", "film_grain.strength=0.3") == [
            f"film_grain.strength={value}" for value in ("0.3", "0.15", "0", "1")
        ]
        assert await offered("options", "upscale.factor=") == ["upscale.factor=4", "upscale.factor=2"]
        assert await offered("options", "y" * 99 + " upsc") == []
        assert await offered("options", "nosuch.x=") == []

    house.run(scenario)


def test_what_is_proposed_is_understood(house: House) -> None:
    for start in ("", "film_grain.", "upscale.", "karras.", "euler_ancestral.", "film_grain.size="):
        for _, line in propose(start, house.studio):
            if not line.endswith("."):
                assert read(line)


def test_reading_options() -> None:
    assert read("") == {}
    assert read("a=on a.b=1 c=OFF") == {"a": {"b": 1}, "c": False}
    assert read("a.b=1 a=on") == {"a": {"b": 1}}
    assert read("a.b=1 a=off") == {"a": False}
    assert read("a.b=0.5 a.c=text a.d=true a.e=NaN a.f=1e999") == {
        "a": {"b": 0.5, "c": "text", "d": True, "e": "NaN", "f": float("inf")}
    }


def test_the_same_interaction_twice(house: House) -> None:
    async def scenario(at: Stage) -> None:
        before = len(await at.jobs())
        payloads: list[Any] = []
        emit = at.env.backend.emit

        def kept(name: str, payload: Any) -> None:
            if name == "INTERACTION_CREATE":
                payloads.append(payload)
            emit(name, payload)

        at.env.backend.emit = kept  # type: ignore[method-assign, assignment]
        result = await at.imagine()
        at.env.backend.emit("INTERACTION_CREATE", payloads[0])
        await at.env.settle()
        assert len(await at.jobs()) == before + 1
        # and a process that never saw it before: Discord says that it was acknowledged, the ledger knows its job
        await at.restart()
        at.env.backend.emit("INTERACTION_CREATE", payloads[0])
        await at.env.settle()
        assert len(await at.jobs()) == before + 1
        assert len(at.public()) == 1
        assert not result.followups

    house.run(scenario)


def test_a_refused_picture_and_a_refused_prompt_are_told_in_plain_words(house: House) -> None:
    async def scenario(at: Stage) -> None:
        registry = at.studio.catalog.registry
        before, kept = len(await at.jobs()), registry.reviews
        no = Refusal("shows a duck; ask for another bird", "secret score")
        registry.reviews = Reviews((Reviewer("ducks", picture=lambda image, info: no),))
        try:
            result = await at.imagine()
        finally:
            registry.reviews = kept
        assert result.response is not None
        said = words(result.response).replace("\\", "")
        assert "This picture failed: the picture was not given out: shows a duck; ask for another bird" in said
        assert "secret" not in said
        assert result.response.attachments == []
        refused = await at.imagine(prompt="nude child")
        told = refused.followups[0] if refused.followups else refused.response
        assert told is not None and told.ephemeral
        assert "asks for something that no service may make" in told.content
        assert len(await at.jobs()) == before + 1

    house.run(scenario)


def test_a_failed_job_says_why(house: House) -> None:
    async def scenario(at: Stage) -> None:
        heun = at.studio.catalog.registry.samplers["heun"]

        def broken(*_: Any, **__: Any) -> Any:
            raise RuntimeError("no such luck")

        heun.run = broken  # type: ignore[method-assign]
        try:
            result = await at.imagine(sampler="heun")
        finally:
            del heun.run  # type: ignore[method-assign]
        assert (await at.jobs())[0].status is JobStatus.FAILED
        assert result.response is not None
        assert "This picture failed" in words(result.response)
        assert labels(result.response) == ["Re-roll", "Vary", "Delete"]

    house.run(scenario)
