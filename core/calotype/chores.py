"""Chores: what has to be done every now and then. Each is written here in code; nothing of it is stored.

A chore may be called directly; :mod:`~calotype.leader` only calls it again and again.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from calotype.images.intake import UPLOAD_AGE
from calotype.images.store import ImageStore
from calotype.ledger import Ledger
from calotype.shrinking import shrink

ORPHAN_AGE: Final = timedelta(days=1)
"""A picture is stored before its job is recorded: one that nobody refers to may be about to be."""
DELIVERY_AGE: Final = timedelta(days=7)
"""After a job's end nobody is told of it any more: an outage that long is no outage."""
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
    """The chores of whoever leads; called on a thread of their own."""

    def __init__(self, ledger: Ledger, store: ImageStore, retention_days: int, retention_gb: float = 0.0) -> None:
        """``retention_days``: jobs that ended longer ago are forgotten; 0 keeps every one.

        ``retention_gb``: the oldest are forgotten while pictures take more (10**9 bytes), but none that ended within a
        day; 0 is no limit. Favourites are never forgotten, nor results that are still to be delivered.
        """
        self._ledger, self._store, self._retention_days = ledger, store, retention_days
        self._retention_bytes = round(retention_gb * 10**9)
        self._stopping = threading.Event()

    def stop(self) -> None:
        """A chore that is at work stops at its next step. Final."""
        self._stopping.set()

    def retention(self) -> Removed:
        """Forgets old jobs and uploads, then deletes pictures that nothing refers to and half-written files.

        Uploads, pictures and half-written files are a day old at least.
        """
        now = datetime.now(UTC)
        cutoff = now - ORPHAN_AGE
        self._ledger.forget_uploads(now - UPLOAD_AGE)
        self._give_up_deliveries(now - DELIVERY_AGE)
        while self._ledger.archive.forget_strangers(_BATCH) == _BATCH and not self._stopping.is_set():
            pass
        removed = Removed(
            jobs=self._expire(now - timedelta(days=self._retention_days)) + self._shrink(),
            pictures=self._sweep_orphans(cutoff),
            parts=self._store.sweep(cutoff),
        )
        if removed:
            log.info("retention: removed %d jobs, %d pictures, %d half-written files", *astuple(removed))
        return removed

    def _give_up_deliveries(self, ended_before: datetime) -> None:
        for job_id in self._ledger.expire_deliveries(ended_before):
            days = DELIVERY_AGE.days
            log.warning("job %s: its delivery is given up, %d days after its end; it is in the history", job_id, days)

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
