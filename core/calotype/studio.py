"""Studio: submit, watch, cancel, history. All that a front end ever sees of the service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from calotype import texts
from calotype.archive import Archive
from calotype.bus import Bus, is_final
from calotype.catalog import Catalog
from calotype.errors import BadRequest, NotAllowed, UnknownJob
from calotype.events import Cancelled, Event, Failed, Finished, Paused, Queued
from calotype.idempotency import ClientKey
from calotype.images.intake import UPLOAD_AGE, check_proportions, encode, read_picture
from calotype.images.store import name_of
from calotype.job import Job, JobStatus
from calotype.models import Models
from calotype.moderation.desk import Moderation
from calotype.moderation.office import Office
from calotype.people import People
from calotype.person import Person
from calotype.request import Request
from calotype.timetable import Timetable
from calotype.turns import Turns
from calotype.work import Engine, Work

if TYPE_CHECKING:
    from calotype.images.store import ImageStore
    from calotype.ledger import Delivery, Ledger
    from calotype.model_list import ModelList

UPLOADS_LIMIT: Final = 100
"""Uploads of one person that are kept at a time."""


class Studio:
    """The service, as front ends see it. Coroutines of one event loop; the ledger works in threads."""

    def __init__(
        self,
        ledger: Ledger,
        store: ImageStore,
        catalog: Catalog,
        bus: Bus,
        work: Work,
        moderation: Moderation,
        *,
        added: ModelList | None = None,
        turns: Turns | None = None,
    ) -> None:
        self.catalog = catalog
        self._ledger = ledger
        self._store = store
        self._bus = bus
        self._work = work
        self._moderation = moderation
        self.moderation = Office(ledger, store, moderation.refresh)
        """What an operator blocks, and the audit."""
        self.models = Models(catalog, added)
        """What can be asked for, and what an operator adds."""
        self.people = People(ledger.people, self._tell_called_off)
        self.turns = turns or Turns()
        self.timetable = Timetable(ledger.timetable, self._check_wish, self.submit)
        self._taking_in = asyncio.Lock()
        self.archive = Archive(ledger, store, self)

    @property
    def ready(self) -> bool:
        """Whether pictures are being made; while not, jobs are accepted and wait."""
        return self._work.ready

    @property
    def problem(self) -> str | None:
        """Why the engine could not start, or None."""
        return self._work.problem

    @property
    def engine(self) -> Engine | None:
        """The engine of this process; None if others make the pictures."""
        return self._work.engine

    @property
    def held(self) -> str | None:
        """Why no job is begun just now, for everybody to read; jobs are accepted and wait. None: nothing holds them."""
        return self._work.held

    async def submit(
        self,
        request: Request,
        person: Person,
        *,
        key: str | ClientKey | None = None,
        reply_to: Mapping[str, Any] | None = None,
        parent: str | None = None,
        scheduled: int | None = None,
    ) -> Job:
        """Check a request, write it down, queue it. When this returns, the job survives any crash.

        ``key`` makes it idempotent: the same key of the same person returns the same job. One that a client chose is
        refused for another request. ``reply_to`` (with ``front_end``) asks for a delivery through the outbox. A picture
        to start from, and its mask, must be the person's own: of one of their jobs, or taken in from them. So must
        ``parent`` be, the job that this one varies. ``scheduled`` is the number of the scheduled prompt that is due:
        one that was removed submits nothing.
        Raises :class:`BadRequest`, :class:`LimitReached` for a cap or budget that is used up, :class:`NotAllowed` if
        they are banned; then nothing is written.
        """
        chosen, key = (key, key.text) if isinstance(key, ClientKey) else (None, key)
        texts.check("key", key)
        texts.check("parent", parent)
        reply_to = texts.mended_throughout(reply_to)  # a front end's own, with the name that somebody has there
        resolved = self.catalog.resolve(request)
        if key is None or not await self._is_known(key, person):
            await self._moderation.check_prompt(resolved, person)
            if resolved.init_image is not None:
                await asyncio.to_thread(self._check_start, resolved, person)
        cost = self.catalog.cost(resolved)
        job = await asyncio.to_thread(
            self._ledger.submit,
            person,
            resolved,
            cost=cost,
            key=key,
            reply_to=reply_to,
            parent=parent,
            scheduled=scheduled,
        )
        if chosen is not None:
            chosen.check(job, request, resolved, parent)
        self._work.submitted(job.id)
        return job

    async def _check_wish(self, request: Request, person: Person) -> None:
        await self._moderation.check_prompt(self.catalog.resolve(request), person)

    async def _is_known(self, key: str, person: Person) -> bool:
        return await asyncio.to_thread(self._ledger.knows, person.key, key)

    async def take_in(self, data: bytes, person: Person) -> str:
        """Take in a picture file (PNG, JPEG, WebP) that the person wants to start from; the sha256 to name it by.

        Kept for a day, and for as long as a job starts from it. Raises :class:`BadRequest` for anything
        but a picture within the limits of :mod:`calotype.images.intake`; then nothing is written.
        """
        async with self._taking_in:  # one at a time: each may need some hundred megabytes while it is decoded
            return await asyncio.to_thread(self._take_in, data, person)

    def _take_in(self, data: bytes, person: Person) -> str:
        picture = read_picture(data)
        self._moderation.check_upload(picture, person)
        png = encode(picture)
        full = not person.operator and self._ledger.uploads(person.key) >= UPLOADS_LIMIT
        if full and not self._ledger.may_use(person, name_of(png)):  # one that is there already adds nothing
            hours = int(UPLOAD_AGE.total_seconds() / 3600)
            message = f"you have uploaded {UPLOADS_LIMIT} already; each is kept for {hours} hours, try again later"
            raise BadRequest.of("picture", message)
        sha256 = self._store.put(png)  # first the file, as for a job's pictures
        self._ledger.take_in(person, sha256)
        return sha256

    def _check_start(self, request: Request, person: Person) -> None:
        """Only of one's own pictures is anything told; of others the ledger says no in one way."""
        used = {"init_image": request.init_image, "mask": request.mask}
        own = {name: sha256 for name, sha256 in used.items() if sha256 and self._ledger.may_use(person, sha256)}
        for field, sha256 in own.items():
            if not self._store.has(sha256):
                raise BadRequest.of(field, "its file is no longer kept here; take another picture")
        if len(own) == 2:
            check_proportions(self._store.path(own["init_image"]), self._store.path(own["mask"]))

    async def watch(self, job_id: str, person: Person | None = None) -> AsyncGenerator[Event, None]:
        """Everything that happens to a job from now on, beginning with where it stands; ends after its last event.

        A slow reader misses steps in between, never a state. Raises :class:`UnknownJob`.
        """
        watcher = self._bus.watch(job_id)  # first listen, then look: nothing can fall between
        try:
            job = await self.job(job_id, person)
            now = await self._standing(job)
            yield now
            while not is_final(now):
                now = await watcher.next()
                yield now
        finally:
            watcher.close()

    async def wait(self, job_id: str, person: Person | None = None) -> Job:
        """The job once it is finished, failed or cancelled."""
        async for _ in self.watch(job_id, person):
            pass
        return await self.job(job_id, person)

    async def cancel(self, job_id: str, person: Person) -> Job:
        """Call a job off; within a tick if it runs. A job that is over stays what it is. Raises :class:`UnknownJob`."""
        await self.job(job_id, person)
        return await self.call_off(job_id, person.key)

    async def call_off(self, job_id: str, by: str | None = None) -> Job:
        """The same on behalf of the service itself, or of an account: what it does to others' jobs is audited."""
        job = await asyncio.to_thread(self._ledger.cancel, job_id, by)
        if job is None:
            raise UnknownJob(job_id)
        if job.status is JobStatus.CANCELLED:
            self._tell_called_off(job_id)
        return job

    def _tell_called_off(self, job_id: str) -> None:
        """The ledger has it as cancelled: take it off its engine, and tell whoever watches."""
        self._work.cancel(job_id)
        self._bus.publish(Cancelled(job_id))
        self._work.wake()

    async def pause(self, job_id: str, person: Person) -> Job:
        """Let a running job stand where it is, within a tick; a job that is over stays what it is.

        It keeps its latents and frees its slot. Over a restart it is not kept: then it runs again from its seed. Raises
        :class:`UnknownJob`, and :class:`BadRequest` if it does not run yet or too many are paused.
        """
        job = await self.job(job_id, person)
        if not job.status.final:
            try:
                await self._work.pause(job_id)
            except BadRequest:
                job = await self.job(job_id, person)
                if not job.status.final:  # else it ended while we asked
                    raise
        return self._as_it_stands(job)

    async def resume(self, job_id: str, person: Person) -> Job:
        """Let a paused job go on where it stood; any other stays what it is. Raises :class:`UnknownJob`."""
        job = await self.job(job_id, person)
        await self._work.resume(job_id)
        return self._as_it_stands(job)

    def _as_it_stands(self, job: Job) -> Job:
        return replace(job, paused=job.status is JobStatus.RUNNING and self._work.is_paused(job.id))

    async def job(self, job_id: str, person: Person | None = None) -> Job:
        """A job as it stands. ``person`` sees only their own (an operator: all); None is the service itself.

        Raises :class:`UnknownJob`, with no difference between a foreign job and one that never was.
        """
        job = await asyncio.to_thread(self._ledger.job, job_id) if texts.is_sound(job_id) else None
        if job is None or not (person is None or await self.is_of(job, person)):
            raise UnknownJob(job_id)
        return self._as_it_stands(job)

    async def is_of(self, job: Job, person: Person) -> bool:
        """Whether it is the person's job, under whatever account they asked for it; an operator's are all."""
        return person.operator or job.person == person.key or job.person == await self.people.person_key(person.key)

    async def turn(self, job_id: str) -> Queued | None:
        """A queued job's position and about how long until its turn comes; None if it is not queued."""
        turn = (await asyncio.to_thread(self._ledger.turns, [job_id])).get(job_id)
        return None if turn is None else Queued(job_id, *turn)

    async def history(self, person: Person, *, limit: int = 50, before: str | None = None) -> list[Job]:
        """A person's jobs, newest first; ``before`` is the id of the last one seen. An operator sees everybody's.

        Raises :class:`NotAllowed` for somebody known by their address only, :class:`BadRequest` for an id that is none.
        """
        person.check_alone("history")
        texts.check("before", before)
        key = None if person.operator else person.key
        jobs = await asyncio.to_thread(self._ledger.history, key, limit=limit, before=before)
        return [self._as_it_stands(job) for job in jobs]

    async def under_way(self, front_end: str) -> AsyncGenerator[Job, None]:
        """Every job that is not over and whose result a front end is to deliver, in the order of submission."""
        last = 0
        while page := await asyncio.to_thread(self._ledger.under_way, front_end, last):
            for last, job in page:  # noqa: B007 - the last number begins the next page
                yield self._as_it_stands(job)

    async def counts(self) -> dict[JobStatus, int]:
        """Number of jobs in each state."""
        return await asyncio.to_thread(self._ledger.counts)

    async def deliveries(self, front_end: str) -> list[Delivery]:
        """What the outbox holds for a front end: results that are due to be delivered.

        Nothing while another process is the active one of that front end.
        """
        if not await self.turns.take(front_end):
            return []
        return await asyncio.to_thread(self._ledger.deliveries, front_end)

    async def delivered(self, delivery: Delivery) -> None:
        """A delivery arrived; it leaves the outbox."""
        await asyncio.to_thread(self._ledger.delivered, delivery.id)

    async def delivery_failed(self, delivery: Delivery, reason: str, retry_at: datetime | None) -> None:
        """A delivery did not arrive; it is due again at ``retry_at`` (aware), or never (None)."""
        await asyncio.to_thread(self._ledger.delivery_failed, delivery.id, reason, retry_at)

    async def erase(self, job_id: str, person: Person) -> None:
        """Remove a job and its pictures from the history; one that is not over is called off first.

        The files go with the next retention chore, unless another job has the same picture. Raises
        :class:`UnknownJob`.
        """
        await self.cancel(job_id, person)
        await asyncio.to_thread(self._ledger.erase, job_id, person.key)

    def drawn_path(self, sha256: str) -> Path:
        """As :meth:`picture_path`, but of pictures that were made here only: nothing is told of uploads. Blocks."""
        path = self._store.path(sha256)
        if not self._ledger.drawn(sha256):
            raise KeyError(sha256)
        return path

    def picture_path(self, sha256: str) -> Path:
        """The PNG file of a finished picture. Raises KeyError if there is none."""
        return self._store.path(sha256)

    async def drain(self, seconds: float) -> None:
        """No new job is begun; returns when those that run have ended, or after so many seconds.

        An erasure does not wait for its last files any more, and says so.
        """
        self.archive.hurry()
        await self._work.stop(seconds)

    async def _standing(self, job: Job) -> Event:
        match job.status:
            case JobStatus.QUEUED:
                return await self.turn(job.id) or Queued(job.id, 0)
            case JobStatus.RUNNING:
                return Paused(job.id) if job.paused else self._bus.started(job.id)
            case JobStatus.FINISHED:
                return Finished(job.id, job.pictures)
            case JobStatus.FAILED:
                return Failed(job.id, job.error or "unknown")
            case JobStatus.CANCELLED:
                return Cancelled(job.id)


__all__ = ["BadRequest", "NotAllowed", "Studio", "UnknownJob"]
