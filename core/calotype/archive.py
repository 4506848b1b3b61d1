"""Archive: the studio's past, as front ends see it. Search, favourites, variations, taking along and erasing.

Reached as ``studio.archive``. Everybody sees and changes their own; an operator everybody's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from calotype import texts
from calotype.erasure import PATIENCE, Eraser, Erasure, require_known
from calotype.errors import Busy, NotAllowed, UnknownJob
from calotype.exporting import Exported, export
from calotype.idempotency import ClientKey
from calotype.job import Job
from calotype.ledger.search import Filters
from calotype.person import Person
from calotype.request import Request

if TYPE_CHECKING:
    from calotype.images.store import ImageStore
    from calotype.ledger import Ledger


ERASURES_AT_ONCE: Final = 2


class Desk(Protocol):
    """What the archive needs of the studio."""

    def job(self, job_id: str, person: Person | None = None) -> Coroutine[Any, Any, Job]:
        """A job that the person may see. Raises :class:`UnknownJob`."""
        ...

    def call_off(self, job_id: str) -> Coroutine[Any, Any, Job]:
        """Call it off on behalf of the service. Raises :class:`UnknownJob`."""
        ...

    def submit(
        self,
        request: Request,
        person: Person,
        *,
        key: str | ClientKey | None = None,
        reply_to: Mapping[str, Any] | None = None,
    ) -> Coroutine[Any, Any, Job]:
        """Queue it. Raises :class:`BadRequest`."""
        ...


class Archive:
    """Coroutines of one event loop, like the studio's; the ledger works in threads."""

    def __init__(self, ledger: Ledger, store: ImageStore, desk: Desk) -> None:
        self._ledger, self._store, self._desk = ledger, store, desk
        self._erasing: set[str] = set()
        self._hurry = asyncio.Event()

    async def search(
        self,
        words: str,
        person: Person,
        filters: Filters | None = None,
        *,
        limit: int = 50,
        before: str | None = None,
    ) -> list[Job]:
        """Jobs whose prompts hold all these words, newest first; ``before`` is the id of the last one seen.

        The last word may be unfinished; quoted ones stand in their order. Raises :class:`BadRequest` if they are too
        long or no text, :class:`NotAllowed` for somebody else's jobs and for somebody known by their address only.
        """
        person.check_alone("history")
        filters = filters or Filters()
        for field, text in {"q": words, "before": before, **asdict(filters)}.items():
            texts.check(field, text)
        if not person.operator:
            filters = replace(filters, person=_own(person, filters.person))
        return await asyncio.to_thread(self._ledger.archive.search, words, filters, limit=limit, before=before)

    async def favour(self, job_id: str, person: Person, favourite: bool = True) -> Job:
        """Keep a job from every retention, or not any more.

        Raises :class:`UnknownJob`, :class:`LimitReached` if its person has as many favourites as their role may.
        """
        await self._desk.job(job_id, person)
        allowed = None if person.operator else self._ledger.people.limits
        if await asyncio.to_thread(self._ledger.archive.favour, job_id, favourite, allowed) is None:
            raise UnknownJob(job_id)
        return await self._desk.job(job_id, person)

    async def rerun(
        self,
        job_id: str,
        person: Person,
        *,
        new_seed: bool = False,
        key: str | ClientKey | None = None,
        reply_to: Mapping[str, Any] | None = None,
    ) -> Job:
        """Queue what a job asked for once more, as this person's: with its seed, or with another one.

        Raises :class:`UnknownJob`, and :class:`BadRequest` where it cannot be asked for any more, or where the key was
        used for another request.
        """
        job = await self._desk.job(job_id, person)
        wish = {**job.request.model_dump(), **({"seed": None} if new_seed else {})}
        return await self._desk.submit(Request.parse(wish), person, key=key, reply_to=reply_to)

    async def children(self, job_id: str, person: Person, *, limit: int = 50) -> list[Job]:
        """The variations of a job, oldest first. Raises :class:`UnknownJob`."""
        await self._desk.job(job_id, person)
        whose = None if person.operator else person.key
        return await asyncio.to_thread(self._ledger.archive.children, job_id, whose, limit=limit)

    async def origin(self, sha256: str, person: Person) -> str | None:
        """Id of the person's newest job that made this picture; None if none did."""
        return await asyncio.to_thread(self._ledger.archive.origin, sha256, person.key)

    async def export(self, file: Path, person: Person, whose: str | None = None) -> Exported:
        """Write the person's jobs, pictures and what is known about them into a zip file.

        An operator names whose (a key), or takes everybody's (None). Raises :class:`NotAllowed` as
        :meth:`search` does, :class:`BadRequest` for a key that is no text, and :class:`SetupError` if the file cannot
        be written; then there is none.
        """
        person.check_alone("export")
        texts.check("person", whose)
        if not person.operator:
            whose = _own(person, whose)
        return await asyncio.to_thread(export, self._ledger, self._store, whose, file)

    async def erase(self, person: Person, whose: str | None = None) -> Erasure:
        """Erase a person: their jobs, pictures, uploads, accounts and row; what runs is called off.

        An operator names whose. Says what was removed and what a look everywhere found afterwards. Raises
        :class:`NotAllowed`, :class:`BadRequest` for an operator who names nobody known, :class:`Busy` while the same
        person is being erased, or as many others as can be.
        """
        person.check_alone("person")
        texts.check("person", whose)
        key = whose if person.operator and whose is not None else _own(person, whose)
        if key in self._erasing:
            raise Busy("erase: it is under way already")
        if len(self._erasing) >= ERASURES_AT_ONCE:
            raise Busy(f"erase: {ERASURES_AT_ONCE} are under way; ask again in a minute")
        self._erasing.add(key)
        try:
            if person.operator:
                await asyncio.to_thread(require_known, self._ledger, key)
            return await self._erase(key, person.key)
        finally:
            self._erasing.discard(key)

    async def _erase(self, key: str, actor: str) -> Erasure:
        """No thread waits between the steps: they are few, and others need them."""
        cancel = self._calling_off(asyncio.get_running_loop())
        eraser = Eraser(self._ledger, self._store, key, actor, cancel=cancel)
        until = time.monotonic() + PATIENCE
        await asyncio.to_thread(eraser.begin)
        while eraser.waits and time.monotonic() < until and not self._hurry.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), eraser.pause)
            await asyncio.to_thread(eraser.go_on)
        return await asyncio.to_thread(eraser.end)

    def hurry(self) -> None:
        """The service stops: nothing is waited for any more. From the event loop."""
        self._hurry.set()

    def _calling_off(self, loop: asyncio.AbstractEventLoop) -> Callable[[str], object]:
        """For the thread that erases: the studio tells the engine and whoever watches."""

        async def call_off(job_id: str) -> None:
            with suppress(UnknownJob):  # somebody erased it meanwhile
                await self._desk.call_off(job_id)

        return lambda job_id: asyncio.run_coroutine_threadsafe(call_off(job_id), loop).result()


def _own(person: Person, whose: str | None) -> str:
    if whose not in (None, person.key):
        raise NotAllowed("person: only the operator sees other people's history; leave it out for your own")
    return person.key
