"""Takes jobs back from workers that are gone: the part of whoever leads."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from calotype.bus import Bus
from calotype.events import Failed
from calotype.ledger import Ledger
from calotype.ledger.session import Session

GRACE: Final = 2.0
"""Seconds in which a worker whose connection broke, as all do when the database is started again, can come back."""
log = logging.getLogger(__name__)


class Takeover:
    """Called every second. Fenced by epochs, so that two who do it at once do no harm."""

    def __init__(
        self, ledger: Ledger, session: Session, bus: Bus, waits: Callable[[str], None], attempts: int = 3
    ) -> None:
        """``waits`` is told of each job that is in the queue again; after so many ``attempts`` one is given up."""
        self._ledger, self._session, self._bus, self._waits = ledger, session, bus, waits
        self._attempts = attempts
        self._missed: dict[str, float] = {}
        """Since when a worker has shown no sign of life, by the monotonic clock."""

    def __call__(self) -> None:
        """Puts back what workers held that have ended, and what ran out."""
        self._session.ping()
        now = time.monotonic()
        if now - self._session.begun < GRACE:
            self._missed.clear()
            return
        self._missed = {worker: self._missed.get(worker, now) for worker in self._ledger.leases.gone()}
        gone = [worker for worker, since in self._missed.items() if now - since >= GRACE]
        again, dead = self._ledger.leases.take_back(gone, self._attempts)
        for job_id in dead:
            job = self._ledger.job(job_id)
            if job is not None:
                self._bus.publish(Failed(job_id, job.error or "unknown"))
        if again or dead:
            log.warning("from workers that are gone: back in the queue: %d, given up: %d", len(again), len(dead))
            self._ledger.steps.clear([*again, *dead])
        for job_id in again:
            self._waits(job_id)
