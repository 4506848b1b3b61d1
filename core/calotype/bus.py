"""Carries events from the threads that make them to the coroutines that watch.

A watcher that is slow costs nobody anything: of each kind of event it keeps only the latest, never a queue.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict, deque
from typing import Final

from calotype.events import FINAL, Event, Paused, Started

_REMEMBERED: Final = 1024
"""Jobs under way whose notes are kept for watchers who come late: far more than ever run at once."""


class Watcher:
    """One coroutine's view of one job. Iterate it; it ends after the job's final event."""

    def __init__(self, bus: Bus, job_id: str) -> None:
        self.job_id = job_id
        self._bus = bus
        self._loop = asyncio.get_running_loop()
        self._events: deque[Event] = deque()
        self._wake = asyncio.Event()

    def push(self, event: Event) -> None:
        """Hand over an event; from any thread."""
        try:
            self._loop.call_soon_threadsafe(self._take, event)
        except RuntimeError:  # the watcher's loop has ended: nobody looks any more
            self.close()

    def close(self) -> None:
        """Stop watching."""
        self._bus._remove(self)

    async def next(self) -> Event:
        """The next event, as soon as there is one."""
        while not self._events:
            self._wake.clear()
            await self._wake.wait()
        return self._events.popleft()

    def _take(self, event: Event) -> None:
        old: tuple[type[Event], ...] = (type(event),)
        if isinstance(event, Started):
            old = (Started, Paused)  # it goes on: that it stood still is of no interest any more
        self._events = deque(each for each in self._events if not isinstance(each, old))
        self._events.append(event)
        self._wake.set()


class Bus:
    """Events by job. Thread-safe."""

    def __init__(self) -> None:
        self._watchers: defaultdict[str, set[Watcher]] = defaultdict(set)
        self._lock = threading.Lock()
        self._begun: dict[str, Started] = {}
        """What was noted when a job was started, for those who come later: of jobs that are not over."""

    def watch(self, job_id: str) -> Watcher:
        """Begin to watch a job, from a running event loop. Close the watcher when done."""
        watcher = Watcher(self, job_id)
        with self._lock:
            self._watchers[job_id].add(watcher)
        return watcher

    def publish(self, event: Event) -> None:
        """Tell everybody who watches the job; from any thread."""
        with self._lock:
            if isinstance(event, Started) and event.notes:
                self._begun[event.job_id] = event
                if len(self._begun) > _REMEMBERED:  # a job that was cancelled in this very moment leaves one behind
                    del self._begun[next(iter(self._begun))]
            elif is_final(event):
                self._begun.pop(event.job_id, None)
            watchers = list(self._watchers.get(event.job_id, ()))
        for watcher in watchers:
            watcher.push(event)

    def watched(self) -> list[str]:
        """Jobs that somebody watches."""
        with self._lock:
            return list(self._watchers)

    def started(self, job_id: str) -> Started:
        """The event that a running job was started with, again."""
        return self._begun.get(job_id) or Started(job_id)

    def is_watched(self, job_id: str) -> bool:
        """Whether a preview of this job would be seen."""
        return job_id in self._watchers

    def _remove(self, watcher: Watcher) -> None:
        with self._lock:
            watchers = self._watchers.get(watcher.job_id)
            if watchers is not None:
                watchers.discard(watcher)
                if not watchers:
                    del self._watchers[watcher.job_id]


def is_final(event: Event) -> bool:
    """Whether nothing comes after this event."""
    return isinstance(event, FINAL)
