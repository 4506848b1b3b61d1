"""What happens when somebody presses something. Every handler is a coroutine over the studio; none keeps any state."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, Final, TypeAlias

import gradio as gr

from calotype.errors import BadRequest, NotAllowed
from calotype.events import Cancelled, Event, Failed, Finished, Paused, Queued, Started, Stepped, or_nothing
from calotype.job import Job, JobStatus
from calotype.person import Person
from calotype.roles import VISITOR
from calotype.studio import Studio
from calotype.visitors import SCOPE
from calotype_gradio import views
from calotype_gradio.form import Values
from calotype_gradio.layout import Layout

_REDRAW: Final = 0.08
"""Seconds between two previews, at least: twelve a second look smooth and spare the network."""
_LOOK_AGAIN: Final = 0.5
"""Seconds without an event after which a job that waits is told again what it waits for."""
log = logging.getLogger(__name__)

Update: TypeAlias = dict[Any, Any]
"""Component → its new value or state; what is not named stays."""


def person_of(request: gr.Request) -> Person:
    """The visitor by their cookie; without one, as long as their tab is open: by Gradio's session.

    The browser chooses that session's name, so it names nobody else: not whom a cookie or an account stands for, nor a
    tab at another address. Who knows the name of a tab at their own address is in that tab.
    """
    called = getattr(request, "request", None)
    visitor: Person | None = called.scope.get(SCOPE) if called is not None else None
    if visitor is not None and not visitor.shared:
        return visitor
    session = request.session_hash or secrets.token_hex(16)  # a direct call without a session is nobody's twice
    address = visitor.address if visitor is not None else None
    digest = hashlib.sha256(f"{address}:{session}".encode(errors="replace")).hexdigest()[:32]
    return Person(key=f"tab:{digest}", name="visitor", role=VISITOR, address=address)


class Handlers:
    """The page's side of the studio."""

    def __init__(self, studio: Studio, layout: Layout) -> None:
        self._studio = studio
        self._layout = layout
        self._form = layout.form

    async def run(self, values: Values, request: gr.Request, event: gr.EventData) -> AsyncIterator[Update]:
        """Make a picture and show how it comes about. Ending this (a closed tab) ends the watching, not the job."""
        person, job_id, page = person_of(request), None, self._layout
        example = self._example(values, event)
        try:
            if self._studio.problem is not None:
                yield {**self._at_rest(views.status(views.BROKEN, "problem")), **example}
                return
            vary = _pressed(event) == page.vary.elem_id
            asked = self._form.request({**values, **example}, vary=vary)
            parent = await self._studio.archive.origin(asked.init_image, person) if vary and asked.init_image else None
            job = await self._studio.submit(asked, person, parent=parent)
            job_id = job.id
            yield {**await self._begun(job, person), **example}
            async with aclosing(self._studio.watch(job.id, person)) as events:
                async for update in self._told(events):
                    yield update
            yield await self._ended(await self._studio.job(job.id, person), person)
        except BadRequest as error:
            yield self._at_rest(views.problems(self._form.explain(problem) for problem in error.problems))
        except NotAllowed as error:
            yield self._at_rest(views.status(str(error), "problem"))
        except Exception:
            log.exception("page: job %s could not be shown", job_id or "(not submitted)")
            yield {
                **self._at_rest(views.status(_sorry(job_id), "problem")),
                page.stage: views.EMPTY,
                page.vary_box: gr.Row(visible=False),
            }

    async def cancel(self, request: gr.Request) -> Update:
        """Call off whatever this visitor has under way. Whoever watches it is told by the studio."""
        person = person_of(request)
        mine = await self._studio.history(person)  # what they asked for on Discord, say, is not this page's business
        under_way = [job for job in mine if not job.status.final and job.submitter == person.key]
        for job in under_way:
            await self._studio.cancel(job.id, person)
        text = "Cancelled." if under_way else "There was nothing to cancel."
        return self._at_rest(views.status(text))

    async def look(self) -> Update:
        """How the service is: asked when the page opens, and then again until the model is there."""
        ready, held = self._studio.ready, self._studio.held
        text = views.BROKEN if self._studio.problem is not None else held or ("" if ready else views.LOADING)
        again = not ready or held is not None
        return {self._layout.notice: views.notice(text), self._layout.timer: gr.Timer(active=again)}

    async def _begun(self, job: Job, person: Person) -> Update:
        page = self._layout
        jobs = await self._studio.history(person)
        return {
            page.status: views.status("Sent."),
            page.stage: views.developing(None, 0, 0),
            page.used: "",
            page.earlier: views.earlier(jobs, job.id),
            page.run: gr.Button(interactive=False),
            page.cancel: gr.Button(interactive=True),
            **{starter: gr.Button(interactive=False) for starter in (page.vary, *page.chips)},
        }

    async def _told(self, events: AsyncIterator[Event]) -> AsyncIterator[Update]:
        """Every event as the page shows it, previews not more often than an eye can follow."""
        page, drawn, said = self._layout, 0.0, ""
        waiting: Queued | None = None
        notes: tuple[str, ...] = ()
        async for event in or_nothing(events, _LOOK_AGAIN):
            match event:
                case Queued() | None:
                    waiting = event or waiting
                    text = self._standing(waiting) if waiting is not None else said
                    if text != said:
                        said = text
                        yield {page.status: views.status(said)}
                case Started():
                    waiting, said, notes = None, "", event.notes or notes
                    noted = {page.stage: views.developing(None, 0, 0, notes)} if notes else {}
                    yield {page.status: views.status("Developing …"), **noted}
                case Stepped(step=step, steps=steps, preview=preview):
                    waiting, now = None, time.monotonic()
                    if now - drawn < _REDRAW and step < steps:
                        continue
                    drawn = now
                    jpeg = await asyncio.to_thread(preview.jpeg) if preview is not None else None
                    yield {
                        page.status: views.status(f"Developing: step {step} of {steps}"),
                        page.stage: views.developing(jpeg, step, steps, notes),
                    }
                case Paused():
                    waiting, said = None, ""
                    yield {page.status: views.status("Paused.")}
                case Finished() | Failed() | Cancelled():
                    waiting = None  # the job itself says it all, see _ended

    def _standing(self, queued: Queued) -> str:
        """What a job waits for."""
        if self._studio.problem is not None:
            return views.KEPT
        if self._studio.held is not None:
            return views.held(self._studio.held)
        return views.position(queued.position, queued.about) if self._studio.ready else views.LOADING

    async def _ended(self, job: Job, person: Person) -> Update:
        page = self._layout
        nothing = {page.stage: views.EMPTY, **self._to_vary(job)}
        if job.status is JobStatus.CANCELLED:
            return {**self._at_rest(views.status("Cancelled.")), **nothing}
        if job.status is JobStatus.FAILED:
            status = views.status(f"This picture failed: {job.error}", "problem")
            return {**self._at_rest(status), **nothing}
        many = f"{len(job.pictures)} pictures are" if len(job.pictures) > 1 else "Your picture is"
        return {
            **self._at_rest(views.status(f"{many} ready.", "done")),
            page.stage: views.pictures(job),
            **self._to_vary(job),
            page.used: views.used(job, self._studio.catalog),
            page.earlier: views.earlier(await self._studio.history(person), job.id),
            self._form.seed: job.request.seed,
        }

    def _to_vary(self, job: Job) -> Update:
        """What another picture can be made from: those that are shown, the first one until another is chosen."""
        choices = [(f"Picture {place}", picture.sha256) for place, picture in enumerate(job.pictures, start=1)]
        first = choices[0][1] if choices else None
        several = len(choices) > 1
        return {
            self._layout.vary_box: gr.Row(visible=bool(choices)),
            self._form.init_image: gr.Radio(choices=choices, value=first, visible=several),
        }

    def _at_rest(self, status: str) -> Update:
        """Nothing is under way: one may run, and there is nothing to cancel."""
        page = self._layout
        return {
            page.status: status,
            page.run: gr.Button(interactive=True),
            page.cancel: gr.Button(interactive=False),
            **{starter: gr.Button(interactive=True) for starter in (page.vary, *page.chips)},
        }

    def _example(self, values: Values, event: gr.EventData) -> Update:
        """The prompt's new words, if it was an example that was pressed."""
        for chip, example in zip(self._layout.chips, self._form.model_info(values).examples, strict=False):
            if chip.elem_id == _pressed(event):
                return {self._form.prompt: example}
        return {}


def _pressed(event: gr.EventData) -> str | None:
    """The name of what was pressed. Not its _id: a session's copy of a component has another."""
    return getattr(event.target, "elem_id", None)


def _sorry(job_id: str | None) -> str:
    where = f" It may still be finished; it is in the log as job {job_id}." if job_id else ""
    return f"Sorry, something went wrong here, and it was not your fault.{where}"
