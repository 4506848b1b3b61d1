"""Asks a stranger's code in a thread of its own, so that one that hangs holds up nobody but its own question."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import sys
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

from calotype.review import Refusal, verdict

STUCK_LIMIT: Final = 3
"""Threads that one plugin may keep at a time; until one of them comes back it is not asked again."""
log = logging.getLogger(__name__)


class Unanswered(Exception):
    """The review gave no verdict. The text is one line for the operator; the log has the rest."""


class _GivenUp(BaseException):
    """Raised in a thread that nobody waits for any more. Not an Exception, so that it is not taken for a fault."""


class _Question:
    """One call: its thread, and whether its end still matters."""

    def __init__(self, plugin: str, ask: Callable[[], object], stuck: Counter[str], lock: threading.Lock) -> None:
        self.answer: Future[Refusal | None] = Future()
        self._plugin, self._ask, self._stuck, self._lock = plugin, ask, stuck, lock
        self._over = self._late = False
        self._thread = threading.Thread(target=self._run, name=f"review by {plugin}", daemon=True)
        self._thread.start()

    def give_up(self) -> str:
        """Ask the thread to die, at its next Python instruction. Where it stands, as text."""
        with self._lock:  # whoever has left the stranger's code is not asked any more
            ident = self._thread.ident
            frame = sys._current_frames().get(ident or 0)
            if self._over or ident is None or frame is None:
                return "it has come back just now"
            self._late = True
            self._stuck[self._plugin] += 1
            stack = "".join(traceback.format_stack(frame))
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(_GivenUp))
            return stack

    def _run(self) -> None:
        try:
            self._answer()
        except _GivenUp:
            log.debug("the review by %s came back too late", self._plugin)
        while not self._over:
            try:
                with self._lock:
                    self._over = True
                    if self._late:
                        self._stuck[self._plugin] -= 1
            except _GivenUp:  # it was asked just now
                continue

    def _answer(self) -> None:
        try:
            found = verdict(self._ask())
        except _GivenUp:
            raise
        except BaseException as error:  # noqa: BLE001 - a stranger's code may raise anything, SystemExit too
            self.answer.set_exception(Unanswered(f"it raised {_account(error)}"))
        else:
            self.answer.set_result(found)


class Bounded:
    """Asks, and waits for so many seconds at most. From any thread."""

    def __init__(self) -> None:
        self._stuck: Counter[str] = Counter()
        self._lock = threading.Lock()

    async def ask(self, plugin: str, ask: Callable[[], object], seconds: float) -> Refusal | None:
        """The verdict, without holding up the event loop. Raises :class:`Unanswered`."""
        question = self._begin(plugin, ask)
        waiting = asyncio.shield(asyncio.wrap_future(question.answer))  # nothing is lost if we are called off
        try:
            return await asyncio.wait_for(waiting, seconds)
        except TimeoutError:
            raise Unanswered(f"it did not come back within {seconds:g} s:\n{question.give_up()}") from None
        except asyncio.CancelledError:  # whoever asked is gone
            question.give_up()
            raise

    def ask_here(self, plugin: str, ask: Callable[[], object], seconds: float) -> Refusal | None:
        """As :meth:`ask`; waits in this thread."""
        question = self._begin(plugin, ask)
        try:
            return question.answer.result(seconds)
        except TimeoutError:
            raise Unanswered(f"it did not come back within {seconds:g} s:\n{question.give_up()}") from None

    def _begin(self, plugin: str, ask: Callable[[], object]) -> _Question:
        if self._stuck[plugin] >= STUCK_LIMIT:
            raise Unanswered(f"{self._stuck[plugin]} earlier calls still hang")
        return _Question(plugin, ask, self._stuck, self._lock)


def _account(error: BaseException) -> str:
    """The error with its traceback. Saying what it is may be a stranger's code too, so not where we wait."""
    try:
        return "".join(traceback.format_exception(error))
    except _GivenUp:
        raise
    except BaseException:  # noqa: BLE001 - as above
        return f"{type(error).__name__}, which cannot be put into words"
