"""A thread that does what it is handed, in order, and is replaced if a stranger's code keeps it."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TypeAlias

import torch

from calotype.engine.watchdog import Call, Seat

Task: TypeAlias = Callable[[], None]
log = logging.getLogger(__name__)


def _never() -> bool:
    return False


def _nothing() -> None:
    """There is no work between tasks."""


def _log_fault(error: BaseException) -> None:
    log.error("a fault of ours: %s", error, exc_info=error)


class Worker:
    """One thread at a time, and the queue that outlives it. Its threads are daemons: a stuck one holds up no exit."""

    def __init__(
        self,
        name: str,
        threads: int,
        *,
        limit: float = 0.0,
        hung: Callable[[Call], None] | None = None,
        busy: Callable[[], bool] = _never,
        between: Task = _nothing,
        fault: Callable[[BaseException], None] = _log_fault,
    ) -> None:
        """``threads`` is torch's CPU threads. ``limit`` seconds may a call of a stranger's code take.

        ``hung`` is the first thing that the next thread does if one took longer. While ``busy`` and no task waits,
        ``between`` is done again and again. ``fault`` hears of what a task raised.
        """
        self._name, self._threads, self._limit = name, threads, limit
        self._hung, self._busy, self._between, self._fault = hung, busy, between, fault
        self._tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
        self._ended = False
        self._seen: Call | None = None
        self._age = 0.0
        self._stuck: list[Seat] = []
        self._begin(_nothing)

    def submit(self, task: Task) -> None:
        """Do this after what was submitted before; from any thread."""
        self._tasks.put(task)

    def close(self, timeout: float, last: Task = _nothing) -> None:
        """Drop what waits, do ``last`` and end. Nobody may look any more.

        Waits for the task at hand; if a stranger's code keeps it, ``timeout`` seconds at most.
        """
        with suppress(queue.Empty):
            while True:
                self._tasks.get_nowait()
        self._tasks.put(partial(self._end, last))
        deadline = time.monotonic() + timeout
        while self._thread.is_alive() and (self._seat.call is None or time.monotonic() < deadline):
            self._thread.join(0.05)
        if (call := self._seat.call) is not None and self._seat.abandon(call) is not None:
            self._stuck.append(self._seat)
        self._ask_the_stuck()

    def look(self, elapsed: float) -> None:
        """For the watchdog: replace the thread if it has been in one call for longer than the limit."""
        self._ask_the_stuck()  # again and again: its code may catch whatever is raised in it
        seat, call = self._seat, self._seat.call
        if self._hung is None or call is None or call is not self._seen:
            self._seen, self._age = call, 0.0
            return
        self._age += elapsed
        if self._age >= self._limit and (stack := seat.abandon(call)) is not None:
            self._replace(call, stack)

    def _replace(self, call: Call, stack: str) -> None:
        assert self._hung is not None
        told = "job %s: %s %s hangs, for over %g s now; another %s thread goes on without it. It hangs here:\n%s"
        log.error(told, call.assignment.job_id, call.kind, call.name, self._limit, self._name, stack)
        self._stuck.append(self._seat)
        self._seen = None
        self._begin(partial(self._hung, call))
        self._ask_the_stuck()

    def _ask_the_stuck(self) -> None:
        self._stuck = [seat for seat in self._stuck if not seat.left]
        for seat in self._stuck:
            seat.ask_to_die()

    def _begin(self, first: Task) -> None:
        seat = Seat()
        thread = threading.Thread(target=self._run, args=(seat, first), name=self._name, daemon=True)
        self._seat, self._thread = seat, thread
        thread.start()

    def _run(self, seat: Seat, first: Task) -> None:
        seat.take()
        try:
            torch.set_num_threads(self._threads)
            self._do(seat, first)
            while not self._ended:
                self._do(seat, self._next())
        except BaseException:
            if not seat.void:
                raise
        finally:
            seat.leave()

    def _next(self) -> Task:
        try:
            return self._tasks.get(block=not self._busy())
        except queue.Empty:
            return self._between

    def _do(self, seat: Seat, task: Task) -> None:
        try:
            task()
        except BaseException as error:  # whatever it is, the thread goes on, unless it was given up
            if seat.void:
                raise
            self._fault(error)

    def _end(self, last: Task) -> None:
        self._ended = True
        last()
