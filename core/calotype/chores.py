"""Chores: what has to be done every now and then. Each is written here in code; nothing of it is stored.

A chore may be called directly; the timer only calls it again and again. One that fails is logged and called again
at its next time.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from apscheduler.schedulers.background import BackgroundScheduler

from calotype.images.intake import UPLOAD_AGE
from calotype.images.store import ImageStore
from calotype.ledger import Ledger
from calotype.shrinking import shrink

FIRST_AFTER: Final = timedelta(seconds=30)
"""After the start, so that nothing competes with it."""
ORPHAN_AGE: Final = timedelta(days=1)
"""A picture is stored before its job is recorded: one that nobody refers to may be about to be."""
_BATCH: Final = 500

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Removed:
    """What a retention took away: jobs from the ledger, picture files, half-written files."""

    jobs: int = 0
    pictures: int = 0
    parts: int = 0

    def __bool__(self) -> bool:
        return bool(self.jobs or self.pictures or self.parts)


class Chores:
    """The chores of one process, on a thread of their own."""

    def __init__(self, ledger: Ledger, store: ImageStore, retention_days: int, retention_gb: float = 0.0) -> None:
        """``retention_days``: jobs that ended longer ago are forgotten; 0 keeps every one.

        ``retention_gb``: the oldest are forgotten while pictures take more (10**9 bytes); 0 is no limit. Favourites
        are never forgotten.
        """
        self._ledger, self._store, self._retention_days = ledger, store, retention_days
        self._retention_bytes = round(retention_gb * 10**9)
        self._stopping = threading.Event()
        self._timer = BackgroundScheduler(
            timezone=UTC,
            # however late, and once for any number of missed times: a laptop sleeps
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )

    def start(self) -> None:
        """Retention: soon, and every hour from then on."""
        first = datetime.now(UTC) + FIRST_AFTER
        self._timer.add_job(self._safely, "interval", [self.retention], hours=1, next_run_time=first, id="retention")
        self._timer.start()

    def stop(self) -> None:
        """Waits for a chore that is at work, which stops at its next step. Fine if never started."""
        self._stopping.set()
        if self._timer.running:
            self._timer.shutdown()

    def retention(self) -> Removed:
        """Forgets old jobs and uploads, then deletes pictures that nothing refers to and half-written files.

        Uploads, pictures and half-written files are a day old at least.
        """
        now = datetime.now(UTC)
        cutoff = now - ORPHAN_AGE
        self._ledger.forget_uploads(now - UPLOAD_AGE)
        self._ledger.archive.forget_strangers()
        removed = Removed(
            jobs=self._expire(now - timedelta(days=self._retention_days)) + self._shrink(),
            pictures=self._sweep_orphans(cutoff),
            parts=self._store.sweep(cutoff),
        )
        if removed:
            log.info("retention: removed %d jobs, %d pictures, %d half-written files", *astuple(removed))
        return removed

    def _expire(self, finished_before: datetime) -> int:
        """In small transactions, so that nobody waits for a long one."""
        removed = 0
        while self._retention_days > 0 and not self._stopping.is_set():
            some = self._ledger.expire(finished_before, _BATCH)
            removed += some
            if some < _BATCH:
                break
        return removed

    def _shrink(self) -> int:
        if not self._retention_bytes:
            return 0
        return shrink(self._ledger, self._store, self._retention_bytes, self._stopping.is_set)

    def _sweep_orphans(self, cutoff: datetime) -> int:
        old = [stored.sha256 for stored in self._store if stored.modified < cutoff]
        removed = 0
        for sha256 in self._ledger.unreferenced(old):
            if self._stopping.is_set():
                break
            removed += self._store.delete(sha256, unless_put_since=cutoff)
        return removed

    def _safely(self, chore: Callable[[], object]) -> None:
        try:
            chore()
        except Exception:
            log.exception("a chore failed; it is tried again at its next time")
