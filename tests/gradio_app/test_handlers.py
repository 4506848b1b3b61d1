"""What the page says when the service is not well: with a studio that does what the test wants."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from calotype.catalog import Catalog
from calotype.errors import NotAllowed
from calotype.events import Cancelled, Event, Failed, Finished, Queued, Started, Stepped
from calotype.job import Job, JobStatus, Picture
from calotype.person import Person
from calotype.request import Request
from calotype_gradio import handlers, views
from calotype_gradio.handlers import Handlers
from calotype_gradio.layout import Layout, lay_out


class Staged:
    """A studio that plays the given events and then shows the job as given."""

    def __init__(self, catalog: Catalog, *events: Event | float, **ends: Any) -> None:
        self.catalog, self.events, self.ends = catalog, events, ends
        self.ready, self.problem = True, None
        self.held: str | None = None
        self.closed = False
        self.refusal: Exception | None = None
        self.archive = SimpleNamespace(origin=self.origin)

    async def origin(self, sha256: str, person: Person) -> str:
        return f"made {sha256[:2]}"

    async def submit(self, request: Request, person: Person, *, parent: str | None) -> Job:
        if self.refusal is not None:
            raise self.refusal
        resolved = self.catalog.resolve(request)
        self.kept = Job("j1", person.key, resolved, JobStatus.QUEUED, datetime.now(UTC), parent=parent)
        return self.kept

    async def watch(self, job_id: str, person: Person) -> AsyncIterator[Event]:
        try:
            for event in self.events:
                if isinstance(event, float):
                    await asyncio.sleep(event)
                else:
                    yield event
            if self.ends.get("raises"):
                raise RuntimeError("broken")
        finally:
            self.closed = True

    async def job(self, job_id: str, person: Person) -> Job:
        return Job(
            "j1", person.key, self.kept.request, self.ends["status"], self.kept.created, error=self.ends.get("error"),
            pictures=tuple(Picture(k, k, name, 64, 64) for k, name in enumerate(self.ends.get("pictures", ()))),
        )  # fmt: skip

    async def history(self, person: Person) -> list[Job]:
        return []


@pytest.fixture
def layout(catalog: Catalog) -> Layout:
    with gr.Blocks(analytics_enabled=False):
        return lay_out(catalog)


def run(studio: Staged, layout: Layout, pressed: Any = None, **changed: Any) -> AsyncIterator[dict[Any, Any]]:
    values = {component: component.value for component in layout.form.inputs()} | {layout.form.prompt: "cat"}
    values |= {getattr(layout.form, name): value for name, value in changed.items()}
    visitor: Any = SimpleNamespace(session_hash="abc")
    event: Any = SimpleNamespace(target=pressed)
    page: Any = studio
    return Handlers(page, layout).run(values, visitor, event)


def said(studio: Staged, layout: Layout) -> list[str]:
    """Every status line, in order."""

    async def listen() -> list[str]:
        return [update[layout.status] async for update in run(studio, layout) if layout.status in update]

    return asyncio.run(listen())


def test_without_an_engine_nothing_is_submitted(catalog: Catalog, layout: Layout) -> None:
    studio = Staged(catalog)
    studio.problem = "/secret/path is damaged"  # type: ignore[assignment]
    (line,) = said(studio, layout)
    assert "cannot paint now" in line
    assert "secret" not in line
    assert not hasattr(studio, "kept")


def test_a_job_that_waits_for_the_model_says_so_until_it_is_there(
    catalog: Catalog, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "_LOOK_AGAIN", 0.01)
    studio = Staged(catalog, Queued("j1", 2), 0.1, Started("j1"), Cancelled("j1"), status=JobStatus.CANCELLED)
    studio.ready = False

    async def listen() -> list[str]:
        lines = []
        async for update in run(studio, layout):
            lines.append(update[layout.status])
            studio.ready = views.LOADING in lines[-1] or studio.ready
        return lines

    lines = asyncio.run(listen())
    assert [views.status(text) for text in (views.LOADING, "2 jobs before yours.")] == lines[1:3]
    assert "Cancelled." in lines[-1]


def test_a_request_that_is_held_says_why(catalog: Catalog, layout: Layout) -> None:
    studio = Staged(catalog, Queued("j1", 0), Cancelled("j1"), status=JobStatus.CANCELLED)
    studio.held = "The disk is full."
    assert views.status("The disk is full. Your request is kept and starts by itself as soon as it can.") in said(
        studio, layout
    )


def test_an_engine_that_breaks_while_a_job_waits_is_not_called_loading(
    catalog: Catalog, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handlers, "_LOOK_AGAIN", 0.01)
    studio = Staged(catalog, Queued("j1", 0), 0.1, Cancelled("j1"), status=JobStatus.CANCELLED)
    studio.ready = False

    async def listen() -> list[str]:
        lines = []
        async for update in run(studio, layout):
            lines.append(update[layout.status])
            studio.problem = "no memory" if views.LOADING in lines[-1] else studio.problem  # type: ignore[assignment]
        return lines

    assert views.status(views.KEPT) in asyncio.run(listen())


def test_what_is_noted_at_the_start_stays_while_it_develops(catalog: Catalog, layout: Layout) -> None:
    events = Queued("j1", 0), Started("j1"), Started("j1", ("a <note>",)), Stepped("j1", 1, 2), Cancelled("j1")
    studio = Staged(catalog, *events, status=JobStatus.CANCELLED)

    async def listen() -> list[str]:
        return [update[layout.stage] async for update in run(studio, layout) if layout.stage in update]

    _, begun, stepped, over = asyncio.run(listen())
    assert "<small>a &lt;note&gt;</small>" in begun
    assert "<small>a &lt;note&gt;</small>" in stepped
    assert "note" not in over


def test_a_failed_job_gives_its_reason(catalog: Catalog, layout: Layout) -> None:
    studio = Staged(catalog, Started("j1"), Failed("j1", "x"), status=JobStatus.FAILED, error="the sampler <gave up>")
    assert "This picture failed: the sampler &lt;gave up&gt;" in said(studio, layout)[-1]


def test_an_unexpected_error_is_one_kind_sentence_and_a_line_in_the_log(
    catalog: Catalog, layout: Layout, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        line = said(Staged(catalog, Started("j1"), raises=True), layout)[-1]
    assert "not your fault" in line
    assert "broken" not in line
    assert "job j1" in caplog.text


def test_a_refusal_is_shown_in_its_own_words(catalog: Catalog, layout: Layout) -> None:
    studio = Staged(catalog)
    studio.refusal = NotAllowed("prompt: not today")
    assert said(studio, layout) == [views.status("prompt: not today", "problem")]


def last(studio: Staged, layout: Layout, pressed: Any = None, **changed: Any) -> dict[Any, Any]:
    async def listen() -> dict[Any, Any]:
        whole: dict[Any, Any] = {}
        async for update in run(studio, layout, pressed, **changed):
            whole |= update
        return whole

    return asyncio.run(listen())


@pytest.mark.parametrize("count", [1, 3])
def test_a_finished_picture_can_be_varied_and_one_of_several_chosen(
    catalog: Catalog, layout: Layout, count: int
) -> None:
    names = [f"{k}" * 64 for k in range(count)]
    shown = last(Staged(catalog, Finished("j1", ()), status=JobStatus.FINISHED, pictures=names), layout)
    start = shown[layout.form.init_image]
    assert shown[layout.vary_box].visible is True
    assert start.value == names[0]
    assert [sha256 for _, sha256 in start.choices] == names
    assert start.visible is (count > 1)


@pytest.mark.parametrize("status", [JobStatus.CANCELLED, JobStatus.FAILED])
def test_where_no_picture_is_shown_there_is_nothing_to_vary(
    catalog: Catalog, layout: Layout, status: JobStatus
) -> None:
    shown = last(Staged(catalog, Cancelled("j1"), status=status), layout)
    assert shown[layout.vary_box].visible is False
    assert shown[layout.form.init_image].value is None


def test_only_vary_starts_from_the_picture(catalog: Catalog, layout: Layout) -> None:
    studio = Staged(catalog, Finished("j1", ()), status=JobStatus.FINISHED)
    chosen = {"init_image": "ab" * 32, "strength": 0.3}
    last(studio, layout, layout.run, **chosen)
    assert (studio.kept.request.init_image, studio.kept.parent) == (None, None)
    last(studio, layout, layout.vary, **chosen)
    assert (studio.kept.request.init_image, studio.kept.request.strength) == ("ab" * 32, 0.3)
    assert studio.kept.parent == "made ab"
    said = last(studio, layout, layout.vary)[layout.status]
    assert "no picture is shown; make one first" in said


def test_leaving_ends_the_watching(catalog: Catalog, layout: Layout) -> None:
    studio = Staged(catalog, Started("j1"), 60.0, Stepped("j1", 1, 20))

    async def leave() -> None:
        updates = run(studio, layout)
        while "Developing" not in (await anext(updates)).get(layout.status, ""):
            pass
        waiting = asyncio.ensure_future(anext(updates))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.wait({waiting})
        await updates.aclose()  # type: ignore[attr-defined]

    asyncio.run(leave())
    assert studio.closed


def test_the_service_is_looked_at_until_the_model_is_there(catalog: Catalog, layout: Layout) -> None:
    studio = Staged(catalog)
    page: Any = studio

    def look() -> tuple[str, bool]:
        update = asyncio.run(Handlers(page, layout).look())
        return update[layout.notice], update[layout.timer].active

    assert look() == ("", False)
    studio.held = "The disk is full."
    assert look() == (views.notice("The disk is full."), True)
    studio.held = None
    studio.ready = False
    assert look() == (views.notice(views.LOADING), True)
    studio.problem = "no"  # type: ignore[assignment]
    assert look() == (views.notice(views.BROKEN), True)
