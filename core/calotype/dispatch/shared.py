"""The work of several processes on one ledger, as the studio of each sees it: its own engine, and those of others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from calotype.dispatch.dispatcher import Dispatcher
from calotype.dispatch.pausing import NOT_RUNNING
from calotype.dispatch.positions import Positions
from calotype.errors import BadRequest
from calotype.job import JobStatus
from calotype.ledger import Ledger
from calotype.relay import Relay

NO_WORKER: Final = "No process that makes pictures is running just now."
_ANSWER: Final = 3.0
"""Seconds in which whoever runs a job says whether it is paused."""


class SharedWork:
    """Implements :class:`calotype.work.Work`."""

    def __init__(
        self,
        ledger: Ledger,
        relay: Relay,
        positions: Positions,
        dispatcher: Dispatcher | None,
        held: Callable[[], str | None],
    ) -> None:
        """``dispatcher`` is None in a process without an engine."""
        self._ledger, self._relay, self._positions, self._here, self._held = ledger, relay, positions, dispatcher, held

    @property
    def engine(self) -> Dispatcher | None:
        """What drives the one of this process."""
        return self._here

    @property
    def ready(self) -> bool:
        """Whether an engine somewhere has loaded its model."""
        return (self._here is not None and self._here.ready) or bool(self._relay.workers)

    @property
    def problem(self) -> str | None:
        """Why there is no engine here, if there is none elsewhere either."""
        return None if self._here is None or self._relay.workers else self._here.problem

    @property
    def held(self) -> str | None:
        """Why no job is begun just now."""
        if (reason := self._held()) is not None:
            return reason
        return NO_WORKER if self._here is None and self._relay.workers == 0 else None

    def wake(self) -> None:
        """Positions may have changed."""
        self._positions.changed()
        if self._here is not None:
            self._here.wake()

    def submitted(self, job_id: str) -> None:
        """There is a job to claim, for whoever is first."""
        if self._here is not None:
            self._here.submitted(job_id)
        self._positions.changed()
        self._relay.tell("new", job_id)

    def cancel(self, job_id: str) -> None:
        """Take a job off the engine here; others hear of its end."""
        if self._here is not None:
            self._here.cancel(job_id)

    async def pause(self, job_id: str) -> None:
        """Let a running job stand where it is, wherever that is. Raises :class:`BadRequest`."""
        if self._is_here(job_id):
            assert self._here is not None
            self._here.pause_here(job_id)
            return
        if job_id in self._relay.paused:
            return
        standing = (await asyncio.to_thread(self._ledger.steps.standing, [job_id])).get(job_id)
        if standing is None or standing.status is not JobStatus.RUNNING:
            raise BadRequest.of("job", NOT_RUNNING)
        try:
            step = await asyncio.wait_for(asyncio.wrap_future(self._relay.ask("pause", job_id)), _ANSWER)
        except TimeoutError:
            raise BadRequest.of("job", "the process that runs it does not answer; try again") from None
        if step.refusal is not None:
            raise BadRequest.of("job", step.refusal)

    async def resume(self, job_id: str) -> None:
        """Let it go on, wherever it is."""
        if self._is_here(job_id):
            assert self._here is not None
            self._here.resume_here(job_id)
        elif job_id in self._relay.paused:
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.wrap_future(self._relay.ask("resume", job_id)), _ANSWER)

    def is_paused(self, job_id: str) -> bool:
        """Whether it is paused, here or elsewhere."""
        if self._is_here(job_id):
            assert self._here is not None
            return self._here.is_paused(job_id)
        return job_id in self._relay.paused

    async def stop(self, drain: float) -> None:
        """See :class:`Work`."""
        if self._here is not None:
            await self._here.stop(drain)
            self._relay.tell("new")  # what went back into the queue is for the others

    def _is_here(self, job_id: str) -> bool:
        return self._here is not None and job_id in self._here.epochs()
