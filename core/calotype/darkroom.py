"""Where the command line has its pictures made: an engine of its own, or the server that owns the data folder."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, Final, Protocol

import typer

from calotype.catalog import Catalog
from calotype.checkpoint import EMBEDDED
from calotype.config import Settings
from calotype.errors import BadRequest, CalotypeError, SetupError
from calotype.events import Event, Queued, or_nothing
from calotype.home import Home, ServerAddress
from calotype.job import as_json
from calotype.person import OPERATOR
from calotype.request import Request
from calotype.studio import Studio

OWNER_WAIT: Final = 600.0
"""Seconds to wait for a data folder that another command is working in."""
_ANNOUNCED_WITHIN: Final = 10.0
"""Seconds in which a server that has just started says where it listens; after that, say that we wait."""
_LOOK_EVERY: Final = 0.25


class ServerGone(CalotypeError):
    """The server went away, or answered what nobody expects. What was accepted stays in its queue."""


class Darkroom(Protocol):
    """What the command line needs: the studio's words over plain values."""

    @property
    def loading(self) -> bool:
        """Whether the model is not there yet, as far as is known."""
        ...

    async def take_in(self, data: bytes) -> str:
        """Bring a picture file to start from; the sha256 to name it by. Raises :class:`BadRequest`."""
        ...

    async def submit(self, request: Request) -> dict[str, Any]:
        """Queue it; the job as JSON. Raises :class:`BadRequest`."""
        ...

    async def problem(self) -> str | None:
        """Why no engine will ever run a job here, if that is so."""
        ...

    async def held(self) -> str | None:
        """Why no job is begun just now, if that is so. Raises :class:`SetupError` where there is no use in waiting."""
        ...

    def watch(self, job_id: str) -> AsyncGenerator[Event, None]:
        """The job's events to the last."""
        ...

    async def job(self, job_id: str) -> dict[str, Any]:
        """The job as JSON."""
        ...

    async def cancel(self, job_id: str) -> None:
        """Call it off; nothing happens if it is over."""
        ...

    async def picture(self, job_id: str, index: int, sha256: str) -> bytes:
        """A PNG file."""
        ...


class Own:
    """The service in this very process."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    @property
    def loading(self) -> bool:
        """Whether the engine is still starting."""
        return not self._studio.ready

    async def take_in(self, data: bytes) -> str:
        """See :class:`Darkroom`."""
        return await self._studio.take_in(data, OPERATOR)

    async def submit(self, request: Request) -> dict[str, Any]:
        """See :class:`Darkroom`."""
        return as_json(await self._studio.submit(request, OPERATOR))

    async def problem(self) -> str | None:
        """See :class:`Darkroom`."""
        return self._studio.problem

    async def held(self) -> str | None:
        """See :class:`Darkroom`. Nobody waits at a prompt until somebody has made room."""
        if (reason := self._studio.held) is not None:
            raise SetupError(f"disk: {reason} Free some of it, or lower CALOTYPE_DISK_FREE_GB")
        return None

    async def watch(self, job_id: str) -> AsyncGenerator[Event, None]:
        """See :class:`Darkroom`."""
        async for event in self._studio.watch(job_id):
            yield event

    async def job(self, job_id: str) -> dict[str, Any]:
        """See :class:`Darkroom`."""
        return as_json(await self._studio.job(job_id))

    async def cancel(self, job_id: str) -> None:
        """See :class:`Darkroom`."""
        await self._studio.cancel(job_id, OPERATOR)

    async def picture(self, job_id: str, index: int, sha256: str) -> bytes:
        """See :class:`Darkroom`."""
        return await asyncio.to_thread(self._studio.picture_path(sha256).read_bytes)


async def follow(room: Darkroom, job_id: str, note: Callable[[str], None]) -> AsyncGenerator[Event, None]:
    """The job's events to the last; ``note`` is told why it is not begun, where something holds it up.

    Raises :class:`SetupError` if none will come, for want of an engine or of room on the disk.
    """
    events, waits = room.watch(job_id), True
    async with aclosing(events), aclosing(or_nothing(events, _LOOK_EVERY)) as told:
        async for event in told:
            if event is not None:
                waits = isinstance(event, Queued)
                yield event
            elif (reason := await room.problem()) is not None:
                raise SetupError(f"engine: it could not be started: {reason}")
            elif waits and (reason := await room.held()) is not None:
                note(reason)


@asynccontextmanager
async def open_darkroom(
    settings: Settings, home: Home, catalog: Catalog, request: Request, doubt: BadRequest | None = None
) -> AsyncIterator[Darkroom]:
    """The server's if one owns the home, else our own. Raises :class:`SetupError`.

    ``request`` says which model will be wanted; a server is offered its folder. ``doubt`` is why our own engine
    cannot serve the request; it is raised if there is no server that might.
    """
    server = await owner(home)
    if server is not None:
        from calotype.remote import Remote  # httpx takes its time: only where there is a server

        async with Remote(server) as remote:
            model = catalog.models.get(request.model or "")
            if model is not None and model.folder != EMBEDDED.resolve():
                await remote.offer(model.folder)
            yield remote
        return
    try:
        if doubt is not None:
            raise doubt
        from calotype.bootstrap import open_service  # here, for the server's sake: it spares us the database

        async with open_service(settings, home, catalog, only_own=True) as studio:
            yield Own(studio)
    finally:
        home.release()


async def owner(home: Home) -> ServerAddress | None:
    """Own the home (None), or find the server that does. Raises :class:`SetupError` after :data:`OWNER_WAIT`."""
    begin, told = time.monotonic(), False
    while not home.acquire():
        server = home.server()
        # an address may be left over from a server that was killed: ask before sending it the token
        if server is not None and await _answers(server):
            return server
        waited = time.monotonic() - begin
        if waited > _ANNOUNCED_WITHIN and not told:
            told = True
            typer.echo(f"another command is at work in {home.folder}; waiting for it, up to 10 minutes", err=True)
        if waited > OWNER_WAIT:
            raise SetupError(f"CALOTYPE_HOME: {home.folder} is still in use by another command; try again later")
        await asyncio.sleep(_LOOK_EVERY)
    return None


async def _answers(server: ServerAddress) -> bool:
    from calotype.remote import answers

    return await answers(server)
