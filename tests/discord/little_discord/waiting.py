"""Waiting in tests: never a fixed time, never for ever."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE = 45.0
"""Seconds for what a busy machine may be slow at."""


def until(condition: Callable[[], T], what: str, seconds: float = PATIENCE) -> T:
    """Wait for a condition to be true and return its value."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"waited {seconds:g} s for {what}")
