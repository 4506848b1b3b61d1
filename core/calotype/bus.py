"""Carries events from the threads that make them to the coroutines that watch.

A watcher that is slow costs nobody anything: of each kind of event it keeps only the latest, never a queue. Steps are
handed out at a pace that all watchers share, so that a thousand of them leave the event loop time for other things.
"""

from __future__ import annotations

import asyncio
import threading
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Final, Protocol

from calotype.events import FINAL, Event, Paused, Started, Stepped

_REMEMBERED: Final = 1024
"""Jobs under way whose notes are kept for watchers who come late: far more than ever run at once."""

_STEPS_A_SECOND: Final = 4000
"""Steps handed out over all watchers: up to 200 see each of 20 steps a second, 1,000 see four."""

_FEW: Final = 50
"""So many watchers see every step as it comes."""


class Watcher:
    """One coroutine's view of one job. Iterate it; it ends after the job's final event."""

    def __init__(self, bus: Bus, job_id: str) -> None:
        self.job_id = job_id
        self._bus = bus
        self.loop = asyncio.get_running_loop()
        self._events: deque[Event] = deque()
        self._wake = asyncio.Event()
        self._due = float("-inf")
        """When the next step may be handed out, by the loop's clock."""

    def close(self) -> None:
        """Stop watching."""
        self._bus._remove(self)

    async def next(self) -> Event:
        """The next event, as soon as there is one; a step not too soon after the last, unless it is over."""
        while True:
            while not self._events:
                self._wake.clear()
                await self._wake.wait()
            event = self._events[0]
            if isinstance(event, Stepped):
                now, pace = self.loop.time(), self._bus.pace
                if len(self._events) == 1 and now < self._due <= now + pace:
                    self._wake.clear()
                    timer = self.loop.call_later(self._due - now, self._wake.set)
                    try:
                        await self._wake.wait()
                    finally:
                        timer.cancel()
                    continue
                # a loop that wakes a little late keeps the pace; never further ahead than one step
                self._due = min(max(self._due + pace, now + pace / 2), now + pace)
            return self._events.popleft()

    def take(self, event: Event) -> None:
        """It happened. On the watcher's own loop only."""
        old: tuple[type[Event], ...] = (type(event),)
        if isinstance(event, Started):
            old = (Started, Paused)  # it goes on: that it stood still is of no interest any more
        before = len(self._events)
        self._events = deque(each for each in self._events if not isinstance(each, old))
        self._events.append(event)
        if len(self._events) > before or not isinstance(event, Stepped):  # of a newer step a reader hears in its time
            self._wake.set()


class Bridge(Protocol):
    """To the buses of other processes. Called from any thread, also from an event loop: returns at once."""

    def watched_here(self, job_id: str) -> None:
        """Somebody began to watch."""
        ...

    def happened_here(self, event: Event) -> None:
        """Everybody who watches here was told."""
        ...

    def is_watched_elsewhere(self, job_id: str) -> bool:
        """Whether somebody watches the job in another process."""
        ...


class Bus:
    """Events by job. Thread-safe."""

    def __init__(self, *, previews: bool = True) -> None:
        """Without ``previews`` nobody is shown a picture before it is finished."""
        self._previews = previews
        self._watchers: defaultdict[str, set[Watcher]] = defaultdict(set)
        self._number = 0
        self._lock = threading.Lock()
        self._begun: dict[str, Started] = {}
        """What was noted when a job was started, for those who come later: of jobs that are not over."""
        self._bridge: Bridge | None = None

    def bridge(self, to: Bridge) -> None:
        """Connect this process' events with those of others."""
        self._bridge = to

    def watch(self, job_id: str) -> Watcher:
        """Begin to watch a job, from a running event loop. Close the watcher when done."""
        watcher = Watcher(self, job_id)
        with self._lock:
            self._watchers[job_id].add(watcher)
            self._number += 1
        if self._bridge is not None:
            self._bridge.watched_here(job_id)
        return watcher

    def publish(self, event: Event) -> None:
        """It happened here: tell everybody who watches the job, in other processes too; from any thread."""
        self.deliver(event)
        if self._bridge is not None:
            self._bridge.happened_here(event)

    def deliver(self, event: Event) -> None:
        """Tell everybody who watches the job in this process; from any thread."""
        with self._lock:
            if isinstance(event, Started) and event.notes:
                self._begun[event.job_id] = event
                if len(self._begun) > _REMEMBERED:  # a job that was cancelled in this very moment leaves one behind
                    del self._begun[next(iter(self._begun))]
            elif is_final(event):
                self._begun.pop(event.job_id, None)
            watchers: defaultdict[asyncio.AbstractEventLoop, list[Watcher]] = defaultdict(list)
            for watcher in self._watchers.get(event.job_id, ()):
                watchers[watcher.loop].append(watcher)
        for loop, theirs in watchers.items():  # one call for all of them: waking a loop is the dearest part
            try:
                loop.call_soon_threadsafe(_take_all, theirs, event)
            except RuntimeError:  # the loop has ended: nobody looks any more
                for watcher in theirs:
                    watcher.close()

    @property
    def pace(self) -> float:
        """Seconds between two steps that one watcher is told of."""
        return self._number / _STEPS_A_SECOND if self._number > _FEW else 0.0

    def watched(self) -> list[str]:
        """Jobs that somebody watches."""
        with self._lock:
            return list(self._watchers)

    def started(self, job_id: str) -> Started:
        """The event that a running job was started with, again."""
        return self._begun.get(job_id) or Started(job_id)

    def is_watched(self, job_id: str) -> bool:
        """Whether a preview of this job would be seen."""
        if not self._previews:
            return False
        return job_id in self._watchers or (self._bridge is not None and self._bridge.is_watched_elsewhere(job_id))

    def _remove(self, watcher: Watcher) -> None:
        with self._lock:
            watchers = self._watchers.get(watcher.job_id)
            if watchers is not None and watcher in watchers:
                watchers.remove(watcher)
                self._number -= 1
                if not watchers:
                    del self._watchers[watcher.job_id]


def _take_all(watchers: Sequence[Watcher], event: Event) -> None:
    for watcher in watchers:
        watcher.take(event)


def is_final(event: Event) -> bool:
    """Whether nothing comes after this event."""
    return isinstance(event, FINAL)
