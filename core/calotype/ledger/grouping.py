"""Group commit: transactions that wait for the one writer at the same time share one commit, and so one sync to disk.

What waits stands in a line. The first in it, when its turn comes, does the work of everybody who stands there by then,
each in a savepoint of its own, commits once, and tells them; the next in line goes on. Nobody waits for company: a
writer who is alone commits alone, as fast as without all this.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine

LARGEST: Final = 64
"""Transactions in one commit: about 50 ms of work, which is the longest that a claim waits behind them."""

T = TypeVar("T")
Work = Callable[[Connection], Any]

log = logging.getLogger(__name__)


class _Undone(Exception):
    """The database undid the whole group, not only the work that failed."""


class Ticket:
    """One transaction in line. ``settled`` once it is committed or has failed for good."""

    def __init__(self, work: Work | None) -> None:
        self.work = work
        self.settled = False
        self.gone = False
        """Its caller was interrupted and waits no more."""
        self._turn = threading.Event()
        self._result: Any = None
        self._error: BaseException | None = None

    def wait(self) -> None:
        """Until it is settled, or its turn to lead."""
        self._turn.wait()

    def call(self) -> None:
        """Ends the wait."""
        self._turn.set()

    @property
    def called(self) -> bool:
        """Whether the wait was ended."""
        return self._turn.is_set()

    def settle(self, result: Any = None, error: BaseException | None = None) -> None:
        """Notes what its caller gets. Called before the wait ends, by whoever leads."""
        self._result, self._error, self.settled = result, error, True

    def answer(self) -> Any:
        """The result; raises what the work raised."""
        if self._error is not None:
            raise self._error
        return self._result


class Group:
    """The one writer of a SQLite file. Callable from any thread; work is done in the order in which it came."""

    def __init__(self, engine: Engine, largest: int = LARGEST) -> None:
        """``engine`` begins transactions that write. ``largest`` 1: every transaction is a commit of its own."""
        self._engine = engine
        self._largest = largest
        self._mutex = threading.Lock()
        self._line: deque[Ticket] = deque()
        self._led = False
        """Whether somebody leads."""

    def write(self, work: Callable[[Connection], T]) -> T:
        """What ``work(connection)`` returns, durable when this returns; raises what it raises, and nothing was written.

        It may be done in another thread that stands in line, and again if the group was undone because of another one.
        """
        ticket = Ticket(work)
        self._queue(ticket)
        if not ticket.settled:
            self._lead(ticket)
        answer: T = ticket.answer()
        return answer

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Waits for its turn; nothing is written meanwhile."""
        self._queue(Ticket(None))
        try:
            yield
        finally:
            self._hand_on([])

    def _queue(self, ticket: Ticket) -> None:
        """Returns when it is settled, or when it is its turn to lead."""
        if self._leads_at_once(ticket):
            return
        try:
            ticket.wait()
        except BaseException:  # Ctrl-C
            with self._mutex:
                ticket.gone = True
                its_turn = ticket.called and not ticket.settled
            if its_turn:
                self._hand_on([])
            raise

    def _leads_at_once(self, ticket: Ticket) -> bool:
        """Whether there is nobody else; otherwise it stands in line."""
        with self._mutex:
            if self._led:
                self._line.append(ticket)
                return False
            self._led = True
            return True

    def _lead(self, first: Ticket) -> None:
        group = [first, *self._company()]
        try:
            self._commit(group)
        finally:  # if this thread is interrupted, the others do their work themselves
            self._hand_on(group[1:])

    def _company(self) -> list[Ticket]:
        """Who stands in line by now, up to the first that wants to be alone."""
        company: list[Ticket] = []
        with self._mutex:
            while self._line and len(company) + 1 < self._largest and self._line[0].work is not None:
                company.append(self._line.popleft())
        return company

    def _hand_on(self, company: Sequence[Ticket]) -> None:
        with self._mutex:
            self._line.extendleft(ticket for ticket in reversed(company) if not ticket.settled)
            while self._line and self._line[0].gone:
                self._line.popleft()
            self._led = bool(self._line)
            if self._led:
                self._line.popleft().call()
        for ticket in company:
            if ticket.settled:
                ticket.call()

    def _commit(self, group: Sequence[Ticket]) -> None:
        if len(group) > 1:
            try:
                self._together(group)
            except Exception as error:  # noqa: BLE001 - each is done alone now, and gets its own answer
                log.debug("%d writes could not be committed together: %s", len(group), type(error).__name__)
            else:
                return
        for ticket in group:
            try:
                ticket.settle(self._alone(ticket))
            except Exception as error:  # noqa: BLE001 - its caller raises it
                ticket.settle(error=error)

    def _together(self, group: Sequence[Ticket]) -> None:
        """All of them in one commit; one that fails is undone alone. Nobody is told before it is on disk."""
        answers: list[tuple[Any, BaseException | None]] = []
        with self._engine.begin() as connection:
            for ticket in group:
                assert ticket.work is not None
                try:
                    with connection.begin_nested():
                        answers.append((ticket.work(connection), None))
                except Exception as error:
                    if not _is_open(connection):
                        raise _Undone from error
                    answers.append((None, error))
        for ticket, (result, failure) in zip(group, answers, strict=True):
            ticket.settle(result, failure)

    def _alone(self, ticket: Ticket) -> Any:
        assert ticket.work is not None
        with self._engine.begin() as connection:
            return ticket.work(connection)


def _is_open(connection: Connection) -> bool:
    """Whether the transaction is still there: of a full disk SQLite ends it all, savepoints or not."""
    driver: Any = connection.connection.dbapi_connection
    return bool(driver.in_transaction)
