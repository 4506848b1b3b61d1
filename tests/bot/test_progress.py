"""What a message tells while its job waits and runs, and how often it is edited."""

from __future__ import annotations

import asyncio

from bot_stage import House, Shown, Stage, labels, words
from hypothesis import given
from hypothesis import strategies as st
from simcord import interactions

from calotype.job import JobStatus
from calotype_bot import looks
from calotype_bot.budget import Bucket, Budget

LONG = {"steps": 150, "sampler": "heun", "images": 8, "options": None}


def test_loading_position_steps_and_preview(house: House) -> None:
    async def scenario(at: Stage) -> None:
        running = (await at.imagine(**LONG)).response
        assert running is not None
        await at.until(lambda: "step" in words(running))
        assert "▰" in words(running) or "▱" in words(running)
        assert "of 1200" in words(running)
        assert labels(running) == ["Cancel"]
        await at.until(lambda: [each.filename for each in running.attachments] == ["preview.jpg"])
        assert (await running.attachments[0].read())[:2] == b"\xff\xd8"
        await at.anna.click(running, label="Cancel")
        await at.until(lambda: "Cancelled." in words(running))
        assert not running.attachments

    house.run(scenario, patient=False)


def test_a_hint_is_shown_while_it_runs_and_with_the_result_and_once(house: House) -> None:
    async def scenario(at: Stage) -> None:
        running = (await at.imagine(prompt="a xqzptv", **(LONG | {"steps": 40, "images": 1}))).response
        assert running is not None
        await at.until(lambda: "step" in words(running))
        assert words(running).count('does not know "xqzptv"') == 1
        await at.until(lambda: "step 40" not in words(running) and "seed" in words(running))
        assert words(running).count('does not know "xqzptv"') == 1

    house.run(scenario, patient=False)


def test_long_notes_fit(house: House) -> None:
    async def scenario(at: Stage) -> None:
        await at.imagine(steps=1)
        (job, *_) = await at.jobs()
        said = words(Shown(looks.running(job, 1, 2, None, ["*" * 280, "second " * 9, "third"])))
        assert said.count("\\*") == 280
        assert "second" in said
        assert "third" not in said

    house.run(scenario)


def test_an_edit_that_fails_ends_the_watching_and_not_the_job(house: House) -> None:
    async def scenario(at: Stage) -> None:
        at.env.inject_error("PATCH", "/webhooks/*", status=404, code=10062, times=1)
        await at.imagine(steps=40)

        async def over() -> bool:
            await at.env.advance_time(6)  # the net, for nobody watches any more
            return not await at.studio.deliveries("discord") and (await at.jobs())[0].status is JobStatus.FINISHED

        await at.until(over)
        edits = [each for each in at.env.http_requests if each.method == "PATCH" and "/webhooks/" in each.path]
        assert len(edits) == 2  # the one that failed, and the result

    house.run(scenario, patient=False)


def test_words_while_it_waits(house: House) -> None:
    async def scenario(at: Stage) -> None:
        await at.imagine(steps=1)
        (job, *_) = await at.jobs()

        def said(position: int, ready: bool, problem: bool) -> str:
            return words(Shown(looks.waiting(job, position, ready, problem)))

        assert "2 jobs before yours" in said(2, True, False)
        assert "1 job before yours" in said(1, True, False)
        assert "Yours is next" in said(0, True, False)
        assert "Loading the model" in said(2, False, False)
        assert "cannot paint right now" in said(2, False, True)

    house.run(scenario)


def test_fifty_at_once_are_all_acknowledged_first(house: House) -> None:
    async def scenario(at: Stage) -> None:
        backend = at.env.backend
        command = next(each for each in backend.commands[None].values() if each["name"] == "imagine")
        loop = asyncio.get_running_loop()
        sent: dict[int, float] = {}
        answered: dict[int, float] = {}
        records = []
        for number in range(50):
            data = {
                "id": command["id"],
                "name": "imagine",
                "type": 1,
                "options": [
                    {"name": "prompt", "type": 3, "value": f"cat {number}"},
                    {"name": "steps", "type": 4, "value": 1},
                    {"name": "options", "type": 3, "value": "upscale=off"},
                ],
            }
            record, payload = interactions.base_payload(
                backend, type=2, channel_id=at.channel.id, guild_id=at.guild.id, user_id=at.anna.id, data=data
            )
            sent[record.id] = loop.time()
            records.append(record)
            backend.emit("INTERACTION_CREATE", payload)

        async def all_answered() -> bool:
            for record in records:
                if record.responded:
                    answered.setdefault(record.id, loop.time())
            return len(answered) == 50

        await at.until(all_answered)
        assert max(answered[key] - sent[key] for key in sent) < 3.0
        await at.env.settle()

        async def delivered() -> bool:
            return not await at.studio.deliveries("discord")

        await at.until(delivered, 60)
        jobs = [job for job in await at.jobs() if job.request.prompt.startswith("cat ")]
        assert len(jobs) == 50
        paths = [each.path for each in at.env.http_requests]
        callbacks = [place for place, path in enumerate(paths) if path.endswith("/callback")]
        assert len(callbacks) == 50

    house.run(scenario)


@given(st.lists(st.tuples(st.floats(0, 2), st.booleans()), max_size=80), st.floats(0.5, 10), st.integers(1, 8))
def test_the_bucket_never_gives_more_than_it_has(calls: list[tuple[float, bool]], rate: float, size: int) -> None:
    bucket, now = Bucket(rate, float(size)), 0.0
    taken: list[float] = []
    for pause, final in calls:
        now += pause
        if not final:
            now += bucket.wait(now)
            assert bucket.wait(now) < 1e-6
        bucket.take(now)
        taken.append(now)
        if not final:
            for since in taken:
                count = sum(since <= each <= now for each in taken)
                assert count <= size + rate * (now - since) + 1e-6


def test_the_bucket_fills_again_and_no_further() -> None:
    bucket = Bucket(4.0, 4.0)
    for _ in range(4):
        assert bucket.wait(0.0) == 0.0
        bucket.take(0.0)
    assert bucket.wait(0.0) == 0.25
    assert bucket.wait(100.0) == 0.0
    for _ in range(5):
        bucket.take(100.0)
    assert bucket.wait(100.0) == 0.5
    assert bucket.wait(50.0) == 0.5  # a clock that goes back gives nothing


def test_turns_are_given_in_order_and_leaving_costs_nothing() -> None:
    async def scenario() -> None:
        line, order = Budget(Bucket(20.0, 1.0)), []

        async def one(name: int) -> None:
            await line.turn()
            order.append(name)

        tasks = [asyncio.create_task(one(name)) for name in range(6)]
        await asyncio.sleep(0)
        tasks[2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert order == [0, 1, 3, 4, 5]
        line.take()  # at once, whatever is left

    asyncio.run(scenario())
