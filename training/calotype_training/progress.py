"""Progress of long work: a line a few times a minute in a log, in place on a terminal."""

from __future__ import annotations

import sys
import time


class Progress:
    """``what: 120 of 359, 41/s, 6 s left``. Cheap to call for every item."""

    def __init__(self, what: str, total: int, begin: int = 0, every: float = 10.0) -> None:
        self._what, self._total, self._begin = what, total, begin
        self._terminal = sys.stdout.isatty()
        self._every = 0.2 if self._terminal else every
        self._started = time.monotonic()
        self._shown = 0.0

    def show(self, done: int, more: str = "") -> None:
        """``done`` of the total are behind us; ``more`` is said beside it."""
        now = time.monotonic()
        if now - self._shown < self._every and done < self._total:
            return
        self._shown = now
        rate = (done - self._begin) / max(now - self._started, 1e-6)
        left = (self._total - done) / rate if rate > 0 else 0.0
        line = f"{self._what}: {done} of {self._total}, {rate:.1f}/s, {_span(left)} left{f', {more}' if more else ''}"
        end = "\n" if not self._terminal or done >= self._total else "\r"
        print(line.ljust(100) if self._terminal else line, end=end, flush=True)


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
