"""Notices a plugin's code that does not come back, and lets go of the thread that is kept in it.

Whoever calls a stranger's code says so::

    with calling(assignment, "sampler", "euler"):
        ...

Only time inside counts, so a slow model call never does. A :class:`Seat` is one thread's place: the call it is in, and
whether it has been given up. Leaving a call and giving up its thread exclude each other by a lock. So either the call
ended in time, or its thread learns, before it does anything else, that it is void: :class:`Abandoned` is raised on the
way out of the call, and it unwinds to its end. What was void never reports, ticks or touches what others share.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol

from calotype.engine.assignment import Assignment
from calotype.errors import SamplerMisbehaved

_here = threading.local()


class Abandoned(BaseException):
    """The thread was given up. Not an Exception, so that nobody takes it for a fault of a job."""


@dataclass(frozen=True, eq=False)
class Call:
    """A stranger's code at work, for a job: ``kind`` is sampler, schedule or post-processor."""

    assignment: Assignment
    kind: str
    name: str


class Seat:
    """The place of one thread that may call a stranger's code."""

    def __init__(self) -> None:
        self.call: Call | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._void = False
        self._left = False

    def take(self) -> None:
        """The thread sits down, first of all that it does."""
        self._thread = threading.current_thread()
        _here.seat = self

    def leave(self) -> None:
        """The thread ends, last of all that it does: another one may get its number, and must not be asked to die."""
        while not self._left:
            try:
                with self._lock:
                    self._left = True
            except Abandoned:  # it was asked just now
                continue

    def end_call(self) -> None:
        """The stranger's code came back. Raises :class:`Abandoned` if that was too late."""
        with self._lock:
            self.call = None
            if self._void:
                raise Abandoned

    def abandon(self, call: Call) -> str | None:
        """Give the thread up if it still is in this call: the stack where it is. None if it has ended."""
        with self._lock:
            frame = sys._current_frames().get(self._ident)
            if self.call is not call or self._void or frame is None:
                return None
            stack = "".join(traceback.format_stack(frame))  # first: it may raise, and then nothing has happened
            self._void = True
            return stack

    @property
    def void(self) -> bool:
        """Whether it was given up."""
        return self._void

    @property
    def left(self) -> bool:
        """Whether the thread is no more."""
        return self._left or (self._thread is not None and not self._thread.is_alive())

    @property
    def _ident(self) -> int:
        return 0 if self._thread is None else self._thread.ident or 0

    def ask_to_die(self) -> None:
        """Raise :class:`Abandoned` in the thread at its next Python instruction: a call into C is not interrupted."""
        with self._lock:
            if not self.left:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._ident), ctypes.py_object(Abandoned))


class calling:
    """Around every call into a stranger's code. It does nothing on a thread without a seat (a test's)."""

    def __init__(self, assignment: Assignment, kind: str, name: str) -> None:
        self._seat: Seat | None = getattr(_here, "seat", None)
        self._call = Call(assignment, kind, name)

    def __enter__(self) -> None:
        if self._seat is not None:
            self._seat.call = self._call

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._seat is not None:
            self._seat.end_call()


def said(error: BaseException) -> str:
    """What an error of a stranger's code says, on one line. Saying it is a stranger's code too: ask inside the call.

    Of a file that was not found, say, without its name: whoever asked for the picture reads it.
    """
    try:
        if isinstance(error, OSError) and error.strerror:
            return " ".join(str(error.strerror).split())[:300]
        return " ".join(str(error).split())[:300]
    except BaseException:  # noqa: BLE001 - if the thread was given up meanwhile, the end of the call tells
        return "(it cannot even say why)"


def account(error: BaseException) -> str:
    """The traceback of an error of a stranger's code, as text. As with :func:`said`, ask inside the call."""
    try:
        return "".join(traceback.format_exception(error))
    except BaseException:  # noqa: BLE001 - as above
        return "(it cannot be put into words)"


def misbehaved(who: str, error: BaseException) -> SamplerMisbehaved:
    """What a job fails with if a stranger's code raised: raise it ``from None``.

    The traceback is kept as text, so that nobody runs that code again who only wants to log it.
    """
    told = SamplerMisbehaved(f"{who}: it raised {type(error).__name__}: {said(error)}")
    told.add_note(account(error))
    return told


class Watched(Protocol):
    """What a watchdog looks at."""

    def look(self, elapsed: float) -> None:
        """``elapsed`` seconds have gone by since the last look."""
        ...


class Watchdog:
    """A thread that looks at workers every so often."""

    def __init__(self, watched: Sequence[Watched], every: float, fault: Callable[[], None]) -> None:
        """``every`` in seconds. ``fault`` is called from an except block if a look raises."""
        self._watched, self._every, self._fault = watched, every, fault
        self._stop = threading.Event()
        self._thread: Final = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            for each in self._watched:
                try:
                    # looks are counted, not the clock: a process that was stopped for a minute hung nowhere
                    each.look(self._every)
                except Exception:  # noqa: BLE001 - it must go on looking, whatever it saw
                    self._fault()
