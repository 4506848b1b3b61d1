"""One of several processes leads and does the chores; if it goes, another one takes over.

Who leads holds a lock that PostgreSQL frees when its process is gone. A chore that must not run twice in a period is
written down before it begins, so that a change of leaders cannot repeat it. On SQLite the one process leads.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy.exc import SQLAlchemyError

from calotype.errors import DatabaseError
from calotype.ledger import Ledger
from calotype.ledger.session import Kind, Session

TRY_EVERY: Final = 2.0
"""Seconds after which those who do not lead try again, and who leads looks whether it still does."""
KEPT: Final = timedelta(days=30)
"""For how long it is known which periods of a chore were begun."""
log = logging.getLogger(__name__)
_TIMER_LOG: Final = logging.getLogger(f"{__name__}.timer")
_TIMER_LOG.setLevel(logging.ERROR)  # that one chore is still at work when it is due again is nothing to warn of


@dataclass(frozen=True)
class Chore:
    """What is done again and again."""

    name: str
    work: Callable[[], object]
    every: timedelta
    first_after: timedelta = timedelta(0)
    """From the start of whoever leads, so that nothing competes with that."""
    once: bool = True
    """At most once in each period, whoever leads when. Else repeating it does no harm."""


class Leader:
    """Takes part in who leads. Threads of its own."""

    def __init__(self, ledger: Ledger, session: Session | None, chores: Sequence[Chore]) -> None:
        """``session`` is None where no other process can be."""
        self._ledger, self._session = ledger, session
        trim = Chore("trim", lambda: ledger.periods.trim(KEPT), timedelta(days=1), timedelta(minutes=1))
        self._chores = [*chores, trim]
        self._timer: BackgroundScheduler | None = None
        self._failing: set[str] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="leader", daemon=True)

    @property
    def leads(self) -> bool:
        """Whether this process does the chores."""
        return self._timer is not None

    def start(self) -> None:
        """Lead, or stand by."""
        if self._session is None:
            self._begin()
        else:
            self._thread.start()

    def stop(self) -> None:
        """Waits for a chore that is at work. Fine if never started."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._end()
        if self._session is not None:
            try:
                self._session.unlock(Kind.LEADER)
            except (SQLAlchemyError, RuntimeError):
                log.debug("leads no more: the session has ended")

    def _follow(self) -> None:
        while not self._stopping.is_set():
            if self._is_leader() != self.leads:
                if self.leads:
                    log.warning("another process does the chores now")
                    self._end()
                else:
                    self._begin()
            self._stopping.wait(TRY_EVERY)

    def _is_leader(self) -> bool:
        assert self._session is not None
        try:
            return self._session.lock(Kind.LEADER)
        except (SQLAlchemyError, DatabaseError):
            return self.leads  # nobody leads while the database is away; chores fail, and are tried again

    def _begin(self) -> None:
        timer = BackgroundScheduler(
            timezone=UTC,
            # however late, and once for any number of missed times: a laptop sleeps
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
            logger=_TIMER_LOG,
        )
        now = datetime.now(UTC)
        for chore in self._chores:
            first = now + chore.first_after
            seconds = chore.every.total_seconds()
            timer.add_job(self._run, "interval", [chore], seconds=seconds, next_run_time=first, id=chore.name)
        timer.start()
        self._timer = timer
        log.debug("this process does the chores")

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.shutdown()
            self._timer = None

    def _run(self, chore: Chore) -> None:
        """One that fails is logged and called again at its next time."""
        try:
            if not chore.once or self._ledger.periods.begin(chore.name, chore.every):
                chore.work()
        except (DatabaseError, SQLAlchemyError) as error:
            if chore.name not in self._failing:  # the database is away: once is enough
                told = error if isinstance(error, DatabaseError) else type(error).__name__
                log.warning("chore %s failed (%s); it is tried again at its next time", chore.name, told)
            self._failing.add(chore.name)
        except Exception:
            log.exception("chore %s failed; it is tried again at its next time", chore.name)
        else:
            self._failing.discard(chore.name)
