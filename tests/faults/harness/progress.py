"""A bar for runs of many minutes, on the terminal itself: pytest keeps what goes to stdout."""

from __future__ import annotations

import sys
import time


class Bar:
    """``[####....] 12/100, 3 min left``. On a pipe: a line every tenth."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._begun = what, total, time.monotonic()
        self._out = sys.__stderr__

    def show(self, done: int, more: str = "") -> None:
        """So many are done."""
        if self._out is None:
            return
        terminal = self._out.isatty()
        if not terminal and done % max(1, self._total // 10):
            return
        spent = time.monotonic() - self._begun
        left = f"{spent / done * (self._total - done) / 60:.1f} min left" if done else "…"
        filled = round(20 * done / self._total)
        line = f"{self._what} [{'#' * filled}{'.' * (20 - filled)}] {done}/{self._total}, {left} {more}"
        self._out.write(f"\r{line:<110}" if terminal else f"{line}\n")
        if terminal and done >= self._total:
            self._out.write("\n")
        self._out.flush()
