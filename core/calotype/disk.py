"""Room on the disk: below a limit no picture is begun, before one fails for want of it."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

SHORT: Final = "The disk for pictures is nearly full, so none is begun."
"""For everybody; how full is the operator's business and stands in the log."""
_LOOK_EVERY: Final = 1.0
log = logging.getLogger(__name__)


class Disk:
    """Looks at the free space of a few folders, at most once a second. Thread-safe."""

    def __init__(
        self,
        folders: Sequence[Path],
        gigabytes: float,
        free: Callable[[Path], int] = lambda folder: shutil.disk_usage(folder).free,
    ) -> None:
        """``gigabytes`` (10**9 bytes) have to be free in each; 0 never looks."""
        self._folders, self._limit, self._free = folders, round(gigabytes * 1e9), free
        self._lock = threading.Lock()
        self._looked = float("-inf")
        self._short: str | None = None

    def short(self) -> str | None:
        """Why no picture is begun, if there is too little room. Said in the log once, and once when it is over."""
        with self._lock:
            now = time.monotonic()
            if self._limit and now - self._looked >= _LOOK_EVERY:
                self._looked = now
                self._look()
            return self._short

    def _look(self) -> None:
        for folder in self._folders:
            try:
                free = self._free(folder)
            except OSError as error:
                log.debug("%s: free space is not known: %s", folder, error.strerror)
                continue
            if free < self._limit:
                if self._short is None:
                    log.error(
                        "%s: only %.2f GB are free, of CALOTYPE_DISK_FREE_GB=%g; no job is begun until there is room",
                        folder, free / 1e9, self._limit / 1e9,
                    )  # fmt: skip
                self._short = SHORT
                return
        if self._short is not None:
            log.info("there is room on the disk again; jobs are begun")
        self._short = None
