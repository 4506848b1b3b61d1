"""Erasure: a person's rows and files removed, and the proof that nothing is left.

A file goes when no row names it any more. Between the moment when a picture is stored and the moment when its row is
written no row names it either, and content-addressed files are shared: so one that was put in the last seconds, or
since the longest-running job began, may be about to be somebody else's. Those are waited for, and what is still in
doubt then is left to the daily sweep.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from calotype.errors import BadRequest
from calotype.ledger.erasing import KEPT, Erased

if TYPE_CHECKING:
    from calotype.images.store import ImageStore
    from calotype.ledger import Ledger

GRACE: Final = timedelta(seconds=10)
"""After a picture was put: by then an upload's row is written. A job's picture is covered by the job that runs."""
PATIENCE: Final = 60.0
"""Seconds to wait for files that were put a moment ago."""
_BATCH: Final = 500


@dataclass(frozen=True)
class Erasure:
    """What was removed, what stays and why, and what a look at every table and file found afterwards."""

    person: str
    rows: dict[str, int] = field(default_factory=dict)
    """Deleted, by table."""
    files: int = 0
    """Picture files that were deleted."""
    shared: int = 0
    """Picture files that stay because jobs or uploads of others name them too."""
    waiting: int = 0
    """Picture files that nobody names and that go with the next sweep: they were put a moment ago."""
    kept: dict[str, str] = field(default_factory=dict)
    """Keys that are still written down, and why."""
    left: dict[str, int] = field(default_factory=dict)
    """Rows found afterwards, by table, every table of the ledger; ``files`` counts files that should be gone."""

    @property
    def complete(self) -> bool:
        """Whether nothing is left but what must stay (:mod:`calotype.ledger.erasing` says what)."""
        stay = {**dict.fromkeys(KEPT, 0), "persons": 0} if self.kept else dict.fromkeys(KEPT, 0)
        return self.waiting == 0 and not any(count for table, count in self.left.items() if table not in stay)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "person": self.person,
            "complete": self.complete,
            "removed": {"rows": self.rows, "files": self.files},
            "kept": {"keys": self.kept, "shared_files": self.shared, "waiting_files": self.waiting},
            "left": self.left,
        }


def erase_person(
    ledger: Ledger,
    store: ImageStore,
    key: str,
    actor: str,
    *,
    cancel: Callable[[str], object],
    grace: timedelta = GRACE,
    patience: float = PATIENCE,
) -> Erasure:
    """Erases whoever has this key or account, on behalf of ``actor``; ``cancel`` calls a job off. Blocks throughout.

    May be done again at any time: what a killed process left half done is then completed. Raises
    :class:`DatabaseError`, and :class:`SetupError` if a file cannot be deleted.
    """
    eraser = Eraser(ledger, store, key, actor, cancel=cancel, grace=grace)
    until = time.monotonic() + patience
    eraser.begin()
    while eraser.waits and time.monotonic() < until:
        time.sleep(eraser.pause)
        eraser.go_on()
    return eraser.end()


class Eraser:
    """An erasure in steps, for those who do not want a thread to wait between them. Each step blocks."""

    def __init__(
        self,
        ledger: Ledger,
        store: ImageStore,
        key: str,
        actor: str,
        *,
        cancel: Callable[[str], object],
        grace: timedelta = GRACE,
    ) -> None:
        """As :func:`erase_person`."""
        self._ledger, self._store, self._key, self._actor = ledger, store, key, actor
        self._cancel, self._grace = cancel, grace
        self.pause = min(1.0, max(0.05, grace.total_seconds() / 4))
        """Seconds to wait between two looks."""

    def begin(self) -> None:
        """Removes all rows, and the files that can go at once."""
        self._mine = self._ledger.archive.keys(self._key)
        self._gone = _rows(self._ledger, self._key, self._actor, self._cancel)
        self._files = _Files(self._ledger, self._store, self._gone.files)
        self.go_on()

    @property
    def waits(self) -> bool:
        """Whether there are files that may go in a moment."""
        return bool(self._files.waiting)

    def go_on(self) -> None:
        """Removes the files that can go by now."""
        self._files.remove(self._grace)

    def end(self) -> Erasure:
        """What was removed, and what a look everywhere finds."""
        more = self._ledger.archive.forget_words(begin=True)
        while more:
            more = self._ledger.archive.forget_words()
        files, gone = self._files, self._gone
        left = {**self._ledger.archive.left(self._mine), "files": len(files.left())}
        waiting = len(files.waiting)
        return Erasure(self._mine[0], dict(gone.rows), files.removed, files.shared, waiting, dict(gone.kept), left)


def require_known(ledger: Ledger, key: str) -> None:
    """Raises :class:`BadRequest` if nothing is known by this key: an operator who mistypes is to see it."""
    if not ledger.archive.is_known(key):
        raise BadRequest.of("person", f"nobody is known by {key[:60]!r}; 'calotype people list' shows everybody")


def _rows(ledger: Ledger, key: str, actor: str, cancel: Callable[[str], object]) -> Erased:
    gone = Erased()
    while True:  # more may be submitted while it goes on, until their row is locked
        for job_id in ledger.archive.unfinished(key):
            cancel(job_id)
        while (some := ledger.archive.erase_some(key, _BATCH)).rows:
            gone += some
        rest = ledger.archive.erase_rest(key, actor)
        if rest is not None:
            return gone + rest


class _Files:
    """The files that the person's rows named, and what becomes of them."""

    def __init__(self, ledger: Ledger, store: ImageStore, names: Iterable[str]) -> None:
        self._ledger, self._store, self._names = ledger, store, sorted(names)
        self.waiting = set(self._names)
        self.removed = self.shared = 0

    def remove(self, grace: timedelta) -> None:
        """Deletes those that nobody names and that were not put a moment ago."""
        # first when, then which: whatever is put after this moment is newer than it, and stays
        cutoff = datetime.now(UTC) - grace
        busy = self._ledger.archive.busy_since()
        if busy is not None:
            cutoff = min(cutoff, busy - grace)
        free = self._ledger.unreferenced(self.waiting)
        for sha256 in self.waiting - free:
            self.shared += self._store.has(sha256)
        self.waiting = free
        for sha256 in sorted(free):
            if self._store.delete(sha256, unless_put_since=cutoff):
                self.removed += 1
                self.waiting.discard(sha256)
            elif not self._store.has(sha256):
                self.waiting.discard(sha256)

    def left(self) -> set[str]:
        """Files that are there although nobody names them."""
        return {sha256 for sha256 in self._ledger.unreferenced(self._names) if self._store.has(sha256)}
