"""Results reach their people, whatever happened to the bot in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from bot_stage import House, Stage, labels, words

from calotype.errors import DatabaseError
from calotype.job import Job
from calotype.person import Person
from calotype.request import Request
from calotype.studio import Studio
from calotype_bot import delivery, wire
from calotype_bot.address import Address
from calotype_bot.options import read


async def left_over(at: Stage, **changes: Any) -> tuple[Any, Job]:
    """A command that was taken by a process that ended before its job did: its reply still says 'thinking'."""
    await at.bot.deliverer.close()
    at.bot.desk._watches.begin = lambda *_: None  # type: ignore[method-assign]
    result = await at.imagine()
    (job, *_) = await at.jobs()
    job = await at.studio.wait(job.id)
    assert (await outbox(at))[0].job.id == job.id
    return result, job


async def outbox(at: Stage) -> list[Any]:
    return await at.studio.deliveries("discord")


@pytest.fixture(autouse=True)
def _empty(house: House) -> Iterator[None]:
    yield

    async def empty(at: Stage) -> None:
        for each in await outbox(at):
            await at.studio.delivered(each)

    house.run(empty)


def sent(at: Stage, method: str, pattern: str) -> list[Any]:
    return [each for each in at.env.http_requests if each.method == method and pattern in each.path]


def test_what_was_finished_while_no_bot_ran(house: House) -> None:
    async def scenario(at: Stage) -> None:
        result, _ = await left_over(at)
        assert result.deferred
        await at.restart()
        await at.env.settle()
        assert result.response.attachments
        assert labels(result.response) == ["Re-roll", "Vary", "Delete"]
        assert await outbox(at) == []
        assert len(at.public()) == 1

    house.run(scenario)


def test_after_fifteen_minutes_it_is_a_message_of_its_own(house: House) -> None:
    async def scenario(at: Stage) -> None:
        _, job = await left_over(at)
        await at.env.advance_time(16 * 60)
        await at.restart()
        await at.env.settle()
        old, new = at.public()
        assert "further down" in words(old)
        assert "for anna, who asked a while ago" in words(new)
        assert new.attachments
        assert not new.mentions
        (post,) = sent(at, "POST", f"/channels/{at.channel.id}/messages")
        assert post.json["nonce"] == wire.nonce(job.id)
        assert len(post.json["nonce"]) <= 25
        assert post.json["enforce_nonce"] is True
        assert post.json["allowed_mentions"]["parse"] == []
        assert await outbox(at) == []
        # its buttons work like any other's
        again = await at.anna.click(new, label="Re-roll")
        assert again.response is not None
        assert again.response.attachments

    house.run(scenario)


def test_a_private_answer_is_not_made_public(house: House) -> None:
    async def scenario(at: Stage) -> None:
        await at.bot.deliverer.close()
        at.bot.desk._watches.begin = lambda *_: None  # type: ignore[method-assign]
        await at.imagine(private=True)
        (job, *_) = await at.jobs()
        await at.studio.wait(job.id)
        await at.env.advance_time(16 * 60)
        await at.restart()
        await at.env.settle()
        assert not at.public()
        assert await outbox(at) == []  # given up: it stays for the operator, and is not tried again
        assert (await at.studio.job(job.id)).pictures

    house.run(scenario)


@pytest.mark.parametrize("code", [50027, 10015, 10062])
def test_a_void_token_leads_to_the_channel(house: House, code: int) -> None:
    async def scenario(at: Stage) -> None:
        await left_over(at)
        at.env.inject_error("PATCH", "/webhooks/*", status=401 if code == 50027 else 404, code=code, times=1)
        await at.restart()
        await at.env.settle()
        assert len(at.public()) == 2
        assert await outbox(at) == []

    house.run(scenario)


def test_a_deleted_reply_is_given_up(house: House) -> None:
    async def scenario(at: Stage) -> None:
        await left_over(at)
        at.env.inject_error("PATCH", "/webhooks/*", status=404, code=10008, times=None)
        await at.restart()
        await at.env.settle()
        assert await outbox(at) == []
        assert not sent(at, "POST", f"/channels/{at.channel.id}/messages")

    house.run(scenario)


def test_trouble_is_waited_out(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "_FIRST_WAIT", 0.05)

    async def scenario(at: Stage) -> None:
        result, _ = await left_over(at)
        at.env.inject_error("PATCH", "/webhooks/*", status=500, times=3)
        await at.restart()
        for _ in range(10):
            await asyncio.sleep(0.1)
            await at.env.advance_time(6)
        assert result.response.attachments
        assert await outbox(at) == []

    house.run(scenario)


@pytest.mark.parametrize(("status", "given_up"), [(409, True), (503, False)])
def test_refusals_wear_a_delivery_out_and_outages_do_not(
    house: House, monkeypatch: pytest.MonkeyPatch, status: int, given_up: bool
) -> None:
    monkeypatch.setattr(delivery, "_FIRST_WAIT", 0.001)
    monkeypatch.setattr(delivery, "_LONGEST_WAIT", 0.01)

    async def scenario(at: Stage) -> None:
        await left_over(at)
        at.env.inject_error("PATCH", "/webhooks/*", status=status, times=None)
        await at.restart()
        for _ in range(14):
            await asyncio.sleep(0.15)
            await at.env.advance_time(6)
        tries = len(sent(at, "PATCH", "/webhooks/"))
        assert tries == delivery.ATTEMPTS if given_up else tries > delivery.ATTEMPTS
        assert await outbox(at) == [] or not given_up

    house.run(scenario)


def test_a_person_is_told_what_the_bot_may_not_post(house: House) -> None:
    async def scenario(at: Stage) -> None:
        await left_over(at)
        at.env.inject_error("PATCH", "/webhooks/*", status=403, code=50013, times=None)
        await at.restart()
        await at.env.settle()
        assert await outbox(at) == []
        (told,) = sent(at, "POST", "/webhooks/")
        assert told.json["content"] == delivery.FORBIDDEN
        assert told.json["flags"] == 64

    house.run(scenario)


@pytest.mark.parametrize("status", [403, 404])
def test_a_final_no_is_taken_for_one(house: House, status: int) -> None:
    async def scenario(at: Stage) -> None:
        await left_over(at)
        await at.env.advance_time(16 * 60)
        at.env.inject_error("POST", "/channels/*/messages", status=status, code=50001, times=None)
        await at.restart()
        await at.env.settle()
        assert len(sent(at, "POST", f"/channels/{at.channel.id}/messages")) == 1
        assert await outbox(at) == []

    house.run(scenario)


def test_an_address_that_cannot_be_read_is_given_up(house: House) -> None:
    async def scenario(at: Stage) -> None:
        request = Request.parse({"prompt": "cat", "steps": 1, "options": read("upscale=off")})
        person = Person(f"discord:{at.anna.id}")
        job = await at.studio.submit(request, person, reply_to={"front_end": "discord", "room": 7})
        await at.studio.wait(job.id)
        at.bot.deliverer.kick()
        await at.until(_async_empty(at))

    house.run(scenario)


def _async_empty(at: Stage) -> Any:
    async def empty() -> bool:
        return not await outbox(at)

    return empty


def test_deliveries_of_one_job_never_overlap(house: House) -> None:
    async def scenario(at: Stage) -> None:
        await left_over(at)
        await at.restart()
        for _ in range(20):
            at.bot.deliverer.kick()
            await asyncio.sleep(0.005)
        await at.env.settle()
        assert len(sent(at, "PATCH", "/webhooks/")) == 1

    house.run(scenario)


def test_progress_never_follows_the_result(house: House) -> None:
    async def scenario(at: Stage) -> None:
        results = [await at.imagine(seed=seed, steps=20) for seed in range(4)]
        for result in results:  # the outbox is empty too while none of them is finished
            assert result.response is not None
            await at.until(lambda each=result.response: "Delete" in labels(each))
        await at.until(_async_empty(at))
        for result in results:
            assert result.response is not None
            assert labels(result.response) == ["Re-roll", "Vary", "Delete"]
        finals = [each for each in sent(at, "PATCH", "/webhooks/") if "Delete" in str(each.json)]
        assert len(finals) == 4

    house.run(scenario, patient=False)


def test_what_was_under_way_is_watched_again_after_a_restart(house: House) -> None:
    async def scenario(at: Stage) -> None:
        result = await at.imagine(steps=150, images=8, sampler="heun", options=None)
        await at.until(lambda: result.response is not None and "step" in words(result.response))
        await at.restart()
        before = len(sent(at, "PATCH", "/webhooks/"))
        await at.until(lambda: len(sent(at, "PATCH", "/webhooks/")) > before)
        assert result.response is not None
        await at.anna.click(result.response, label="Cancel")
        await at.until(lambda: "Cancelled." in words(result.response))

    house.run(scenario, patient=False)


def test_an_address_hides_its_token() -> None:
    address = Address(1, "secret-token", time.time(), 2, 3, 4, 5, "anna", False, True)
    assert "secret-token" not in repr(address)
    assert Address.read(address.written()) == address


def test_a_result_that_arrived_is_not_sent_again_because_its_record_failed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, refusals = Studio.delivered, [DatabaseError("database: is full")] * 3

    async def full(self: Studio, each: Any) -> None:
        if refusals:
            raise refusals.pop()
        await real(self, each)

    async def scenario(at: Stage) -> None:
        await left_over(at)
        monkeypatch.setattr(Studio, "delivered", full)
        await at.restart()
        for _ in range(8):
            await asyncio.sleep(0.1)
            await at.env.advance_time(6)
        assert not refusals
        assert await outbox(at) == []
        assert len(sent(at, "PATCH", "/webhooks/")) == 1

    house.run(scenario)


def test_no_reason_holds_a_token() -> None:
    error = aiohttp.ServerDisconnectedError("400, url='https://discord.com/api/v10/webhooks/1/SECRET/messages/5'")
    assert "SECRET" not in wire.reason(error)
    assert "webhooks/…" in wire.reason(error)
