"""How often the bot edits its messages: one budget for the whole process, since Discord counts them together."""

from __future__ import annotations

import asyncio
from typing import Final

PER_SECOND: Final = 4.0
"""Edits in all. Discord allows 50 calls a second to one bot and far fewer to one channel."""
BURST: Final = 4.0
EACH_EVERY: Final = 1.5
"""Seconds between two edits of one message, at least."""


class Bucket:
    """A token bucket. Times are seconds of any clock that never goes back."""

    def __init__(self, rate: float = PER_SECOND, size: float = BURST) -> None:
        self._rate, self._size = rate, size
        self._tokens, self._seen = size, 0.0

    def wait(self, now: float) -> float:
        """Seconds until one may be taken; 0 if it may be now."""
        self._fill(now)
        return max(0.0, (1.0 - self._tokens) / self._rate)

    def take(self, now: float) -> None:
        """Take one. Whoever does not wait first (a final edit) leaves a debt that others wait out."""
        self._fill(now)
        self._tokens -= 1.0

    def _fill(self, now: float) -> None:
        self._tokens = min(self._size, self._tokens + max(0.0, now - self._seen) * self._rate)
        self._seen = max(now, self._seen)


class Budget:
    """Turns to edit, first come, first served. One who stops waiting costs the others nothing."""

    def __init__(self, bucket: Bucket | None = None) -> None:
        self._bucket = bucket or Bucket()
        self._line = asyncio.Lock()

    async def turn(self) -> None:
        """Wait for a turn and take it."""
        loop = asyncio.get_running_loop()
        async with self._line:
            while (wait := self._bucket.wait(loop.time())) > 1e-6:  # noqa: ASYNC110 - time, not a state, is waited for
                await asyncio.sleep(wait)
            self._bucket.take(loop.time())

    def take(self) -> None:
        """Take a turn at once: for what must not wait."""
        self._bucket.take(asyncio.get_running_loop().time())
