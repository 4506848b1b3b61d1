"""The whole service behind its one door, with the real ledger, engine and model."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from calotype.bootstrap import catalog_for, open_service
from calotype.config import Settings
from calotype.dispatch import dispatcher
from calotype.errors import BadRequest, DatabaseError, NotAllowed, UnknownJob
from calotype.events import Cancelled, Event, Failed, Finished, Queued, Started, Stepped
from calotype.home import Home
from calotype.job import Job, JobStatus
from calotype.ledger import Ledger
from calotype.person import OPERATOR, Person
from calotype.request import Request
from calotype.studio import Studio

ANNA, BERT = Person("test:anna", "Anna"), Person("test:bert", "Bert")


@asynccontextmanager
async def service(folder: Path, *, only_own: bool = False, **settings: Any) -> AsyncIterator[Studio]:
    chosen = Settings.load(**{"home": folder, "threads": 1, "drain_seconds": 0, **settings})
    home = Home(folder)
    assert home.acquire()
    try:
        async with open_service(chosen, home, catalog_for(chosen), only_own=only_own) as studio:
            yield studio
    finally:
        home.release()


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 120))  # type: ignore[arg-type]


def short(prompt: str = "cat", **fields: Any) -> Request:
    return Request.parse({"prompt": prompt, "steps": 3, "seed": 1, **fields})


async def events_of(studio: Studio, job: Job) -> list[Event]:
    return [event async for event in studio.watch(job.id)]


def test_one_prompt_through_every_layer(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with service(tmp_path) as studio:
            job = await studio.submit(short(steps=12), ANNA)
            events = await events_of(studio, job)
            assert isinstance(events[0], Queued)
            assert isinstance(events[-1], Finished)
            assert [type(e) for e in events if not isinstance(e, Queued | Stepped)] == [Started, Finished]
            steps = [e.step for e in events if isinstance(e, Stepped)]
            assert steps == sorted(steps)
            assert any(e.preview is not None for e in events if isinstance(e, Stepped))

            done = await studio.job(job.id, ANNA)
            assert done.status is JobStatus.FINISHED
            picture = done.pictures[0]
            with Image.open(studio.picture_path(picture.sha256)) as image:
                assert image.size == (picture.width, picture.height) == (256, 256)
            assert done.record["model"]["name"] == "calotype-emoji"
            assert set(done.record["plugins"]) == {"euler_ancestral", "normal", "upscale"}
            assert set(done.record["plugin_code"]) == set(done.record["plugins"])
            assert {"threads", "device", "row_buckets", "versions", "timings"} <= set(done.record)

            # made again from nothing but its history row
            again = await studio.submit(done.request, BERT)
            assert (await studio.wait(again.id)).pictures[0].sha256 == picture.sha256
            assert [j.id for j in await studio.history(ANNA)] == [job.id]
            assert [j.id for j in await studio.history(OPERATOR)] == [again.id, job.id]

    run(scenario)


def test_watching_what_is_over_and_what_is_not_yours(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with service(tmp_path) as studio:
            job = await studio.submit(short(), ANNA)
            await studio.wait(job.id)
            assert [type(e) for e in await events_of(studio, job)] == [Finished]
            for wrong in (job.id, "nothing"):
                with pytest.raises(UnknownJob) as caught:
                    await studio.job(wrong, BERT)
                assert str(caught.value) == f"job: {wrong!r} is not one of your jobs"
                with pytest.raises(UnknownJob):
                    await studio.cancel(wrong, BERT)
            assert (await studio.job(job.id, OPERATOR)).id == job.id
            assert (await studio.cancel(job.id, ANNA)).status is JobStatus.FINISHED
            with pytest.raises(KeyError):
                studio.picture_path("../../etc/passwd")

    run(scenario)


def test_cancel_while_queued_and_while_running(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with service(tmp_path, slots=1, residents=1) as studio:
            running = await studio.submit(short(steps=150), ANNA)
            queued = await studio.submit(short(), ANNA)
            last = await studio.submit(short(), ANNA)
            watching = asyncio.create_task(events_of(studio, last))
            async for event in studio.watch(running.id):
                if isinstance(event, Stepped):
                    break
            assert (await studio.cancel(queued.id, ANNA)).status is JobStatus.CANCELLED
            assert (await studio.cancel(running.id, ANNA)).status is JobStatus.CANCELLED
            assert [type(e) for e in await events_of(studio, running)] == [Cancelled]
            events = await watching
            assert isinstance(events[-1], Finished)
            assert isinstance(events[0], Queued)
            assert events[0].position >= 1

    run(scenario)


def test_positions_are_told_as_they_change(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with service(tmp_path, slots=1, residents=1) as studio:
            jobs = [await studio.submit(short(steps=12), ANNA) for _ in range(4)]
            events = await events_of(studio, jobs[-1])
            positions = [e.position for e in events if isinstance(e, Queued)]
            assert positions[0] >= 2
            assert positions == sorted(positions, reverse=True)
            assert len(set(positions)) > 1

    run(scenario)


def test_deliveries_and_erasing(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with service(tmp_path) as studio:
            address = {"front_end": "test", "room": 7}
            job = await studio.submit(short(), ANNA, reply_to=address)
            await studio.wait(job.id)
            (delivery,) = await studio.deliveries("test")
            assert delivery.job.pictures
            assert delivery.reply_to == address
            await studio.delivery_failed(delivery, "no such room", datetime.now(UTC) + timedelta(hours=1))
            assert await studio.deliveries("test") == []
            await studio.delivered(delivery)
            running = await studio.submit(short(steps=150), ANNA)
            for each in (job, running):
                with pytest.raises(UnknownJob):
                    await studio.erase(each.id, BERT)
                await studio.erase(each.id, ANNA)
                with pytest.raises(UnknownJob):
                    await studio.job(each.id, ANNA)

    run(scenario)


def test_nothing_is_written_for_a_bad_request(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "blocked_words.txt").write_text("gore\n")
        async with service(tmp_path) as studio:
            for bad in (short(sampler="magic"), short("some gore"), short(width=512)):
                with pytest.raises(BadRequest):
                    await studio.submit(bad, ANNA)
            assert sum((await studio.counts()).values()) == 0
            with pytest.raises(NotAllowed):
                await studio.models.add(str(tmp_path), ANNA)

    run(scenario)


def photograph(size: tuple[int, int] = (90, 60)) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize(size).save(buffer, "JPEG")
    return buffer.getvalue()


def test_from_a_picture_to_another(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with service(tmp_path) as studio:
            source = (await studio.wait((await studio.submit(short(), ANNA)).id)).pictures[0].sha256
            brought = await studio.take_in(photograph(), ANNA)
            with Image.open(studio.picture_path(brought)) as image:
                assert (image.format, image.mode, image.size) == ("PNG", "RGB", (90, 60))
            for sha256 in (source, brought):
                job = await studio.submit(short("tiger", steps=10, init_image=sha256), ANNA)
                events = await events_of(studio, job)
                assert {e.steps for e in events if isinstance(e, Stepped)} == {7}
                done = await studio.job(job.id, ANNA)
                assert (done.request.init_image, done.request.strength) == (sha256, 0.7)
                again = await studio.submit(done.request, ANNA)
                assert (await studio.wait(again.id)).pictures[0].sha256 == done.pictures[0].sha256 != source

    run(scenario)


def test_nobody_starts_from_somebody_elses_picture(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with service(tmp_path) as studio:
            source = (await studio.wait((await studio.submit(short(), ANNA)).id)).pictures[0].sha256
            brought, unknown = await studio.take_in(photograph(), ANNA), "ab" * 32
            said = set()
            for sha256 in (source, brought, unknown):
                with pytest.raises(BadRequest, match="init_image: ") as caught:
                    await studio.submit(short(init_image=sha256), BERT)
                said.add(str(caught.value).replace(sha256[:12], ""))
            assert len(said) == 1
            assert await studio.history(BERT) == []
            assert await studio.submit(short(init_image=brought), OPERATOR)
            assert await studio.take_in(photograph(), BERT) == brought
            assert await studio.submit(short(init_image=brought), BERT)

    run(scenario)


def painted(size: tuple[int, int] = (90, 60)) -> bytes:
    buffer = io.BytesIO()
    mask = Image.new("L", size)
    mask.paste(255, (0, 0, size[0] // 2, size[1]))
    mask.save(buffer, "PNG")
    return buffer.getvalue()


def test_a_part_of_a_picture_is_repainted(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with service(tmp_path) as studio:
            brought, mask = await studio.take_in(photograph(), ANNA), await studio.take_in(painted(), ANNA)
            whole, part = [
                await studio.wait((await studio.submit(short(init_image=brought, mask=each), ANNA)).id)
                for each in (None, mask)
            ]
            assert part.request.mask == mask
            assert part.pictures[0].sha256 != whole.pictures[0].sha256
            again = await studio.wait((await studio.submit(part.request, ANNA)).id)
            assert again.pictures[0].sha256 == part.pictures[0].sha256

            square = await studio.take_in(painted((64, 64)), ANNA)
            with pytest.raises(BadRequest, match="mask: is 64x64, its picture 90x60; give it the picture's"):
                await studio.submit(short(init_image=brought, mask=square), ANNA)
            await studio.take_in(photograph(), BERT)
            for foreign in (mask, square):  # not told from one another, whatever their proportions
                with pytest.raises(BadRequest, match=r"mask: .* is not one of your pictures"):
                    await studio.submit(short(init_image=brought, mask=foreign), BERT)
            studio.picture_path(mask).unlink()
            with pytest.raises(BadRequest, match=r"mask: its file is no longer kept here"):
                await studio.submit(short(init_image=brought, mask=mask), ANNA)

    run(scenario)


def test_a_picture_whose_file_is_gone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with service(tmp_path, slots=1, residents=1) as studio:
            source, other = await studio.take_in(photograph(), ANNA), await studio.take_in(photograph((8, 8)), ANNA)
            before = await studio.submit(short(steps=150), ANNA)
            async for event in studio.watch(before.id):
                if isinstance(event, Stepped):
                    break
            queued = await studio.submit(short(init_image=other), ANNA)
            for sha256 in (source, other):
                studio.picture_path(sha256).unlink()
            with pytest.raises(BadRequest, match=r"init_image: its file is no longer kept here"):
                await studio.submit(short(init_image=source), ANNA)
            with pytest.raises(BadRequest, match=r"init_image: .* is not one of your pictures"):
                await studio.submit(short(init_image=source), BERT)
            again = short(init_image=other, steps=11)
            with pytest.raises(BadRequest, match=r"init_image: its file is no longer kept here"):
                await studio.submit(again, ANNA, key="once")
            await studio.cancel(before.id, ANNA)
            failed = await studio.wait(queued.id)
            assert failed.status is JobStatus.FAILED
            assert failed.error == (
                "it cannot be run any more: init_image: the file of the picture it starts from is gone"
            )

    run(scenario)


def test_a_repeated_key_is_answered_though_the_file_is_gone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with service(tmp_path) as studio:
            wish = short(init_image=await studio.take_in(photograph(), ANNA), steps=10)
            job = await studio.submit(wish, ANNA, key="once")
            await studio.wait(job.id)
            studio.picture_path(wish.init_image or "").unlink()
            assert (await studio.submit(job.request, ANNA, key="once")).id == job.id
            with pytest.raises(BadRequest, match="no longer kept"):
                await studio.submit(job.request, ANNA, key="another")

    run(scenario)


def test_only_what_was_made_here_is_shown_by_its_hash(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with service(tmp_path) as studio:
            made = (await studio.wait((await studio.submit(short(), ANNA)).id)).pictures[0].sha256
            brought = await studio.take_in(photograph(), ANNA)
            assert studio.drawn_path(made) == studio.picture_path(made)
            assert studio.picture_path(brought).exists()
            with pytest.raises(KeyError):
                studio.drawn_path(brought)

    run(scenario)


def test_what_is_no_picture_is_not_taken_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calotype.studio.UPLOADS_LIMIT", 2)

    async def scenario() -> None:
        async with service(tmp_path) as studio:
            with pytest.raises(BadRequest, match="picture: is not a PNG"):
                await studio.take_in(b"GIF89a", ANNA)
            assert not list((tmp_path / "images").glob("*/*"))
            for side in (1, 2):
                await studio.take_in(photograph((side, side)), ANNA)
            with pytest.raises(BadRequest, match="picture: you have uploaded 2 already"):
                await studio.take_in(photograph((3, 3)), ANNA)
            assert len(list((tmp_path / "images").glob("*/*"))) == 2
            await studio.take_in(photograph((2, 2)), ANNA)  # adds nothing, so it is prolonged
            await studio.take_in(photograph((3, 3)), BERT)
            for side in range(1, 5):
                await studio.take_in(photograph((side, side)), OPERATOR)

    run(scenario)


def test_the_same_key_is_the_same_job(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with service(tmp_path) as studio:
            first, second = [await studio.submit(short(), ANNA, key="k") for _ in range(2)]
            other = await studio.submit(short(), BERT, key="k")
            assert first.id == second.id != other.id

    run(scenario)


def test_what_was_accepted_is_done_after_a_stop(tmp_path: Path) -> None:
    jobs: list[Job] = []

    async def stopped_in_the_middle() -> None:
        async with service(tmp_path, slots=2, residents=2) as studio:
            jobs.extend([await studio.submit(short(steps=100), ANNA) for _ in range(3)])
            async for event in studio.watch(jobs[0].id):
                if isinstance(event, Stepped):
                    break
            await studio.cancel(jobs[2].id, ANNA)

    async def next_start() -> None:
        async with service(tmp_path) as studio:
            ended = [await studio.wait(job.id) for job in jobs]
            finished, cancelled = JobStatus.FINISHED, JobStatus.CANCELLED
            assert [job.status for job in ended] == [finished, finished, cancelled]

    run(stopped_in_the_middle)
    run(next_start)


def test_a_job_whose_plugin_is_gone_fails_with_a_reason(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with service(tmp_path, slots=1, residents=1) as studio:
            before = await studio.submit(short(steps=150), ANNA)
            async for event in studio.watch(before.id):
                if isinstance(event, Stepped):
                    break
            job = await studio.submit(short(sampler="heun"), ANNA)
            heun = studio.catalog.registry.samplers.pop("heun")
            try:
                await studio.cancel(before.id, ANNA)
                last = (await events_of(studio, job))[-1]
            finally:
                studio.catalog.registry.samplers["heun"] = heun
            assert isinstance(last, Failed)
            assert "sampler: 'heun' is not one of" in last.reason
            assert (await studio.job(job.id)).status is JobStatus.FAILED

    run(scenario)


@pytest.mark.parametrize("step", ["claim", "finish"])
def test_a_database_that_refuses_for_a_while_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    real, refusals = getattr(Ledger, step), [DatabaseError("database: is locked")] * 2
    monkeypatch.setattr(dispatcher, "_AGAIN", 0.1)

    def refuse_twice(self: Ledger, *args: Any, **more: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return real(self, *args, **more)

    async def scenario() -> None:
        async with service(tmp_path, slots=1, residents=1) as studio:
            monkeypatch.setattr(Ledger, step, refuse_twice)
            jobs = [await studio.submit(short(), ANNA) for _ in range(3)]
            watching = asyncio.create_task(events_of(studio, jobs[-1]))
            assert [(await studio.wait(job.id)).status for job in jobs] == [JobStatus.FINISHED] * 3
            watching.cancel()
            assert not refusals

    run(scenario)


def test_an_engine_for_one_leaves_other_peoples_jobs_alone(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with service(tmp_path, slots=1, residents=1) as studio:
            before = await studio.submit(short(steps=150), ANNA)
            others = [await studio.submit(short(), ANNA) for _ in range(2)]
            await studio.cancel(before.id, ANNA)
        async with service(tmp_path, only_own=True) as studio:
            mine = await studio.submit(short(), BERT)
            assert (await studio.wait(mine.id)).status is JobStatus.FINISHED
            left = [(await studio.job(job.id)).status for job in others]
            assert JobStatus.RUNNING not in left
        async with service(tmp_path) as studio:
            assert [(await studio.wait(job.id)).status for job in others] == [JobStatus.FINISHED] * 2

    run(scenario)


def test_a_job_cancelled_while_it_is_claimed_never_reaches_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Ledger.claim

    def slow(self: Ledger, *args: Any, **more: Any) -> Any:
        claimed = real(self, *args, **more)
        time.sleep(0.3 if claimed else 0)
        return claimed

    async def scenario() -> None:
        async with service(tmp_path) as studio:
            await studio.wait((await studio.submit(short(), ANNA)).id)
            monkeypatch.setattr(Ledger, "claim", slow)
            job = await studio.submit(short(steps=150), ANNA)
            await asyncio.sleep(0.1)
            await studio.cancel(job.id, ANNA)
            began = time.monotonic()
            await studio.wait((await studio.submit(short(), BERT)).id)
            assert studio._work._residents == {}  # type: ignore[attr-defined]
            assert time.monotonic() - began < 20
            assert (await studio.job(job.id)).status is JobStatus.CANCELLED

    run(scenario)


def test_a_batch_does_not_hold_up_the_others_when_pictures_are_finished(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with service(tmp_path) as studio:
            batch = [await studio.submit(short(steps=1, images=8), ANNA) for _ in range(12)]
            async for event in studio.watch(batch[0].id):
                if isinstance(event, Finished):
                    break
            await studio.wait((await studio.submit(short(steps=1), BERT)).id)
            done = [(await studio.job(job.id)).status for job in batch]
            assert done.count(JobStatus.FINISHED) < 9, "the batch was waited for"

    run(scenario)


def test_an_offered_model_is_there_after_a_restart(tmp_path: Path, tiny_sd1: Path) -> None:
    async def scenario() -> None:
        async with service(tmp_path) as studio:
            assert (await studio.models.add(str(tiny_sd1), OPERATOR)).name == "tiny-sd1"
        async with service(tmp_path) as studio:
            job = await studio.submit(short(model="tiny-sd1"), ANNA)
            assert (await studio.wait(job.id)).record["model"]["name"] == "tiny-sd1"

    run(scenario)


def test_a_model_that_cannot_be_loaded_is_a_problem_and_jobs_stay(tmp_path: Path, tiny_sd1: Path) -> None:
    import shutil

    from checkpoints import edit_json

    folder = shutil.copytree(tiny_sd1, tmp_path / "odd")
    edit_json(folder / "unet" / "config.json", cross_attention_dim=64)

    async def scenario() -> None:
        async with service(tmp_path / "home", model=folder) as studio:
            job = await studio.submit(short(), ANNA)
            for _ in range(600):
                if studio.problem:
                    break
                await asyncio.sleep(0.05)
            assert studio.problem
            assert studio.problem.startswith("model: ")
            assert "\n" not in studio.problem
            assert not studio.ready
            assert (await studio.job(job.id)).status is JobStatus.QUEUED

    run(scenario)
