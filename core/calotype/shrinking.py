"""Retention by size: the oldest jobs go until the pictures fit.

Not favourites, nothing whose result is still to be delivered, and nothing that ended within the last day: whoever
asked for it must have seen it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from calotype.images.store import ImageStore
    from calotype.ledger import Ledger

_CHUNK: Final = 500
_STEP: Final = 20
"""Jobs that are deleted before it is looked whether that was enough."""
YOUNG: Final = timedelta(days=1)
"""After a job's end it is kept for that long, whatever its size."""
log = logging.getLogger(__name__)


def shrink(ledger: Ledger, store: ImageStore, limit: int, stopping: Callable[[], bool]) -> int:
    """Deletes old jobs until the files that anything names have at most ``limit`` bytes. How many jobs.

    Their files go with the sweep of orphans; those that only wait for it are not counted, or another hour would take
    more jobs for the same bytes.
    """
    excess = sum(_sizes(ledger, store, (stored.sha256 for stored in store))) - limit
    finished_before = datetime.now(UTC) - YOUNG
    removed, after = 0, 0
    while excess > 0 and not stopping():
        some = ledger.archive.oldest(after, finished_before, _STEP)
        if not some:
            log.warning(
                "retention: what stays is %d bytes over the limit: favourites, uploads, jobs that run, that ended "
                "within a day or are not delivered yet; raise CALOTYPE_RETENTION_GB or free some of it",
                excess,
            )
            break
        after = some[-1][0]
        named = {sha256 for _, files in some for sha256 in files}
        removed += ledger.archive.expire([number for number, _ in some], finished_before)
        excess -= sum(_size(store, sha256) for sha256 in ledger.unreferenced(named))
    return removed


def _sizes(ledger: Ledger, store: ImageStore, names: Iterable[str]) -> Iterator[int]:
    """Bytes of those that anything names."""
    rest = iter(names)
    while some := set(islice(rest, _CHUNK)):
        yield from (_size(store, sha256) for sha256 in some - ledger.unreferenced(some))


def _size(store: ImageStore, sha256: str) -> int:
    try:
        return store.path(sha256).stat().st_size
    except (KeyError, FileNotFoundError):
        return 0
