"""A database server that goes away and comes back: callers wait for it a little, instead of failing at once."""

from __future__ import annotations

import threading
import time
from typing import Final

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

WAIT: Final = 5.0
"""Seconds from when it went away in which calls wait for its return; later they fail at once."""
_AGAIN: Final = 0.2


class Outage:
    """Connects, patiently. One a database, so that all its callers wait for the same moment. Thread-safe."""

    def __init__(self, seconds: float = WAIT) -> None:
        """``seconds`` from when it went away calls wait."""
        self._seconds = seconds
        self._lock = threading.Lock()
        self._met = False
        """Whether it ever answered: what is set up wrongly is told at once."""
        self._since: float | None = None

    def connect(self, engine: Engine) -> Connection:
        """A connection on which nothing was done yet, so waiting for it repeats nothing. Raises OperationalError."""
        while True:
            try:
                connection = engine.connect()
            except OperationalError:
                if not self._may_wait():
                    raise
                time.sleep(_AGAIN)
            else:
                with self._lock:
                    self._met, self._since = True, None
                return connection

    def _may_wait(self) -> bool:
        with self._lock:
            now = time.monotonic()
            if self._since is None:
                self._since = now
            return self._met and now - self._since < self._seconds
