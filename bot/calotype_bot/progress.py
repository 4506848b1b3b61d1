"""A message that tells how its job is doing, edited as often as the budget allows. Its last state is not its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, Final

from calotype.errors import UnknownJob
from calotype.events import Event, Paused, Queued, Started, Stepped
from calotype.job import Job
from calotype.studio import Studio
from calotype_bot import looks, wire
from calotype_bot.address import Address
from calotype_bot.budget import EACH_EVERY, Budget
from calotype_bot.wire import Wire

_LAST_EDIT: Final = 20.0
"""Seconds that an edit under way may still take before the result must not wait for it any longer."""
log = logging.getLogger(__name__)


class Watches:
    """The jobs whose messages are kept up to date, one task each. ``ended`` is called when one of them is over."""

    def __init__(self, studio: Studio, line: Wire, ended: Callable[[], None]) -> None:
        self._studio, self._wire, self._ended = studio, line, ended
        self._budget = Budget()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def begin(self, job: Job, address: Address) -> None:
        """Keep the reply at ``address`` up to date from now on."""
        if job.id not in self._tasks and address.message_id is not None:
            self._tasks[job.id] = asyncio.create_task(self._watch(job, address), name=f"watch {job.id}")

    async def quiet(self, job_id: str) -> None:
        """Returns once nothing of ours edits that job's message any more."""
        task = self._tasks.get(job_id)
        if task is not None:
            _, late = await asyncio.wait({task}, timeout=_LAST_EDIT)
            for each in late:
                each.cancel()

    def take_turn(self) -> None:
        """Count an edit that does not wait for its turn."""
        self._budget.take()

    async def close(self) -> None:
        """Stop watching. The jobs go on."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, job: Job, address: Address) -> None:
        try:
            await _Progress(self._studio, self._wire, self._budget, job, address).run()
        except UnknownJob:
            log.info("job %s: erased, no longer watched", job.id)
        except wire.TROUBLE as error:  # its message was deleted, say: the job goes on, nobody looks
            log.info("job %s: no longer watched: %s", job.id, wire.reason(error))
        except Exception:
            log.exception("job %s: its progress could not be shown", job.id)
        finally:
            self._tasks.pop(job.id, None)
            self._ended()


class _Progress:
    """One job's message. Events come in while a turn is waited for; what is shown is always the latest."""

    def __init__(self, studio: Studio, line: Wire, budget: Budget, job: Job, address: Address) -> None:
        self._studio, self._wire, self._budget, self._job, self._address = studio, line, budget, job, address
        self._latest: Event | None = None
        self._step: Stepped | None = None
        self._notes: tuple[str, ...] = ()
        self._edited = -EACH_EVERY

    async def run(self) -> None:
        """Until the job is over, the token is void, or an edit fails (it raises then)."""
        coming: asyncio.Future[Event] | None = None
        turn: asyncio.Future[None] | None = None
        async with aclosing(self._studio.watch(self._job.id)) as events:
            try:
                while not self._address.expired:
                    coming = coming or asyncio.ensure_future(anext(events))
                    if turn is None and self._latest is not None:
                        turn = asyncio.ensure_future(self._turn())
                    both: set[asyncio.Future[Any]] = {coming} if turn is None else {coming, turn}
                    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                    if coming.done():
                        event, coming = coming.result(), None
                        if isinstance(event, Paused):  # what was shown last still holds
                            continue
                        if not isinstance(event, Queued | Started | Stepped):
                            return
                        if isinstance(event, Stepped):
                            self._step = event
                        if isinstance(event, Started):
                            self._notes = event.notes or self._notes
                        # one that goes on after a pause stands where it stood
                        self._latest = self._step if isinstance(event, Started) and self._step else event
                    elif turn is not None:
                        turn = None
                        await self._show()
            finally:
                left = [task for task in (coming, turn) if task is not None and task.cancel()]
                if left:  # a generator cannot be closed while it is being asked
                    await asyncio.wait(left)

    async def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        while (wait := self._edited + EACH_EVERY - loop.time()) > 0:  # noqa: ASYNC110 - time, not a state, is waited for
            await asyncio.sleep(wait)
        await self._budget.turn()

    async def _show(self) -> None:
        event, self._latest = self._latest, None
        match event:
            case Queued(position=position):
                broken = self._studio.problem is not None
                look = looks.waiting(self._job, position, self._studio.ready, broken, event.about)
            case Stepped(step=step, steps=steps, preview=preview):
                jpeg = await asyncio.to_thread(preview.jpeg) if preview is not None else None
                look = looks.running(self._job, step, steps, jpeg, self._notes)
            case _:
                look = looks.running(self._job, 0, 0, None, self._notes)
        self._edited = asyncio.get_running_loop().time()
        try:
            await self._wire.edit(self._address, look)
        except wire.TROUBLE as error:
            if not wire.passes(error):
                raise
            log.info("job %s: a look at it was not shown: %s", self._job.id, wire.reason(error))
