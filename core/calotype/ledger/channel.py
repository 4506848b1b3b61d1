"""Between processes: short notes by NOTIFY, and a slow look at everything as the net under them.

A note is ``kind:job_id`` and nothing else; whoever hears it reads the ledger. So one that is lost, or heard twice,
costs time at most.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from calotype.errors import DatabaseError
from calotype.ledger.database import Database
from calotype.ledger.session import CHANNEL, Session

NET: Final = 1.5
"""Seconds between looks at everything: with a look's own time, what was not heard is seen within two."""
_AGAIN: Final = 0.5
"""Seconds after which a server that is away is tried again."""
log = logging.getLogger(__name__)


class Note(NamedTuple):
    """What happened to a job, in one word."""

    kind: str
    job_id: str = ""

    @classmethod
    def read(cls, payload: str) -> Note:
        """From what came; anything may come, since everybody on the database may NOTIFY."""
        kind, _, job_id = payload.partition(":")
        return cls(kind, job_id)

    def __str__(self) -> str:
        return f"{self.kind}:{self.job_id}"


class Channel:
    """Hears what other processes say, on a thread of its own. PostgreSQL only."""

    def __init__(self, database: Database, session: Session, hear: Callable[[Sequence[Note] | None], None]) -> None:
        """``hear`` is called with notes of others, or with None: look at everything, something may have been missed.

        It may take its time and may raise: then it is called again with None.
        """
        self._database, self._session, self._hear = database, session, hear
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="listening", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Listen no more; returns when ``hear`` is not called any more."""
        self._stopping.set()
        if self._thread.is_alive():
            try:
                self._session.say([str(Note("bye"))])  # wakes the thread
            except SQLAlchemyError:
                log.debug("the channel ends without the database")
            self._thread.join(NET + 10)

    def say(self, notes: Iterable[Note]) -> None:
        """Tell all other processes. Raises SQLAlchemy's DBAPIError if the server cannot be reached."""
        self._session.say([str(note) for note in notes])

    def _listen(self) -> None:
        away = False
        while not self._stopping.is_set():
            try:
                with self._listening() as connection:
                    if away:
                        log.info("the database is back")
                    away = False
                    self._follow(connection)
            except Exception as error:  # whatever it is, the net must go on
                if not away and not self._stopping.is_set():
                    expected = isinstance(error, DatabaseError | SQLAlchemyError) or _is_drivers(error)
                    told = f" ({type(error).__name__})" if expected else ""
                    log.warning("what others say is not heard%s; trying again", told, exc_info=not expected)
                away = True
                self._stopping.wait(_AGAIN)

    def _follow(self, connection: Any) -> None:
        look = 0.0  # what was said before we listened nobody heard
        while not self._stopping.is_set():
            if time.monotonic() >= look:
                self._hear(None)
                look = time.monotonic() + NET
            wait = max(0.01, look - time.monotonic())
            said = list(connection.notifies(timeout=wait, stop_after=1))
            notes = [Note.read(each.payload) for each in said if not self._session.is_own(each.pid)]
            if notes and not self._stopping.is_set():
                self._hear(list(dict.fromkeys(notes)))

    @contextmanager
    def _listening(self) -> Iterator[Any]:
        """The driver's own connection, taken out of the pool."""
        pooled = self._database.engine.raw_connection()
        connection: Any = pooled.driver_connection
        pooled.detach()
        try:
            connection.autocommit = True
            connection.execute(f"LISTEN {CHANNEL}")
            yield connection
        finally:
            connection.close()


def _is_drivers(error: Exception) -> bool:
    """Whether the connection broke while it was listened on; the driver need not be installed for a file."""
    return type(error).__module__.startswith("psycopg")
