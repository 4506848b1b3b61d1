"""Tells watchers of queued jobs when their place, or the time until then, has changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Container
from typing import Final

from calotype.bus import Bus
from calotype.events import Queued
from calotype.ledger import Ledger

_EVERY: Final = 0.2
"""Seconds between looks at the queue positions of watched jobs, at least."""
log = logging.getLogger(__name__)


class Positions:
    """For those who watch in this process, whoever runs the jobs."""

    def __init__(self, ledger: Ledger, bus: Bus, running: Callable[[], Container[str]] = frozenset) -> None:
        """``running`` names jobs that are known not to be queued: nothing is read for them."""
        self._ledger, self._bus, self._running = ledger, bus, running
        self._changed = True

    def changed(self) -> None:
        """The queue is not what it was; from any thread."""
        self._changed = True

    async def run(self) -> None:
        """Until cancelled."""
        told: dict[str, Queued] = {}
        while True:
            await asyncio.sleep(_EVERY)
            if not self._changed:
                continue
            self._changed = False
            running = self._running()
            waiting = [job_id for job_id in self._bus.watched() if job_id not in running]
            try:
                turns = await asyncio.to_thread(self._ledger.turns, waiting) if waiting else {}
            except Exception:
                log.exception("queue positions could not be read")
                self._changed = True
                await asyncio.sleep(1)
                continue
            now = {job_id: Queued(job_id, *turn) for job_id, turn in turns.items()}
            for job_id, event in now.items():
                before = told.get(job_id)
                if before is None or (before.position, before.about) != (event.position, event.about):
                    self._bus.deliver(event)  # each process tells its own watchers
            told = now
