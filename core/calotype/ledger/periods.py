"""Which chores were begun in which period: what makes each run once, whoever leads when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from calotype.ledger.database import Database
from calotype.ledger.rows import now
from calotype.ledger.tables import chores_done

_FORM = "%Y-%m-%dT%H:%M:%SZ"
"""UTC, so that text sorts as time."""


def clock(connection: Connection) -> datetime:
    """The time that all processes of the database agree on: the server's, or of a file its one process'."""
    if connection.dialect.name != "postgresql":
        return now()
    told: datetime | None = connection.scalar(select(func.clock_timestamp()))
    assert told is not None
    return told.astimezone(UTC)


def written(time: datetime) -> str:
    """A period by the time at which it begins (aware)."""
    return time.astimezone(UTC).strftime(_FORM)


def read(period: str) -> datetime:
    """The time that :func:`written` wrote."""
    return datetime.strptime(period, _FORM).replace(tzinfo=UTC)


class Periods:
    """The table ``chores_done``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, chore: str, every: timedelta) -> bool:
        """Whether the chore is to run now: nobody began it in this period. From then on somebody has."""
        return self._database.write(begin_now, chore, every)

    def trim(self, age: timedelta) -> None:
        """Forgets older periods, but of each chore the last one."""
        self._database.write(trim, age)


def begin_now(connection: Connection, chore: str, every: timedelta) -> bool:
    """Periods are counted from 1970."""
    seconds = every.total_seconds()
    period = datetime.fromtimestamp(clock(connection).timestamp() // seconds * seconds, UTC)
    return begin(connection, chore, period)


def begin(connection: Connection, chore: str, period: datetime) -> bool:
    """Writes it down; False if it was."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    row = dialect.insert(chores_done).values(chore=chore, period=written(period), begun=clock(connection))
    return connection.scalar(row.on_conflict_do_nothing().returning(chores_done.c.chore)) is not None


def last(connection: Connection, chore: str) -> datetime | None:
    """The last period in which it was begun."""
    period = connection.scalar(select(func.max(chores_done.c.period)).where(chores_done.c.chore == chore))
    return None if period is None else read(period)


def trim(connection: Connection, age: timedelta) -> None:
    """See :meth:`Periods.trim`."""
    same = chores_done.alias()
    newest = select(func.max(same.c.period)).where(same.c.chore == chores_done.c.chore).scalar_subquery()
    old = chores_done.c.begun < clock(connection) - age
    connection.execute(delete(chores_done).where(old, chores_done.c.period < newest))


def forget(connection: Connection, chore: str) -> None:
    """The chore is no more."""
    connection.execute(delete(chores_done).where(chores_done.c.chore == chore))
