"""Prompts that are submitted again and again, at the times that a cron expression names."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, RowMapping, delete, func, insert, or_, select, update

from calotype.cron import Times
from calotype.errors import BadRequest, CalotypeError
from calotype.ledger import accounts, ending, limits, outbox, periods
from calotype.ledger.database import Database
from calotype.ledger.rows import to_request
from calotype.ledger.tables import scheduled_prompts
from calotype.person import OPERATOR, Person
from calotype.request import Request
from calotype.roles import UNLIMITED, Limits

log = logging.getLogger(__name__)
LIMIT: Final = 20
"""Scheduled prompts of one person; of the operator ten times as many."""


@dataclass(frozen=True)
class ScheduledPrompt:
    """One row. ``error`` is why its last job was not submitted."""

    id: int
    person: str
    cron: str
    timezone: str
    request: Request
    created: datetime
    reply_to: Mapping[str, Any] | None = None
    error: str | None = None
    guild: str | None = None
    """The Discord server for whose cap its jobs count."""

    @property
    def chore(self) -> str:
        """Its name in ``chores_done``."""
        return f"prompt:{self.id}"


class Due(NamedTuple):
    """It is to be submitted now, for that time, as that person."""

    prompt: ScheduledPrompt
    period: datetime
    person: Person

    @property
    def key(self) -> str:
        """The same for the same prompt and time: so it becomes one job, however often it is submitted."""
        return f"scheduled:{self.prompt.id}:{periods.written(self.period)}"


class Timetable:
    """The table ``scheduled_prompts``."""

    def __init__(self, database: Database, limits: Limits = UNLIMITED) -> None:
        self._database, self._limits = database, limits
        self._told: set[int] = set()
        """Prompts that cannot be read, of which the log has been told."""

    def add(
        self, person: Person, cron: str, timezone: str, request: Request, reply_to: Mapping[str, Any] | None = None
    ) -> ScheduledPrompt:
        """From now on. Raises :class:`BadRequest` if the time cannot be read, or the person has too many.

        :class:`NotAllowed` if they are banned.
        """
        Times(cron, timezone)
        outbox.address(reply_to)
        return self._database.write(add, person, cron, timezone, request, reply_to, self._limits)

    def all(self, person_key: str | None, guild: str | None = None) -> list[ScheduledPrompt]:
        """A person's and a Discord server's, or everybody's (None), oldest first."""
        return self._database.read(listed, person_key, guild)

    def remove(self, prompt_id: int, by: Person, guild: str | None = None) -> bool:
        """One of theirs, or of that Discord server; an operator whosever. False if there is none."""
        return self._database.write(remove, prompt_id, by, guild)

    def due(self) -> list[Due]:
        """What is to be submitted now. Times that were missed count as one, the latest; unreadable ones are logged."""
        found, unreadable = self._database.read(due)
        for number, reason in unreadable.items():
            if number not in self._told:
                log.error("scheduled prompt %d is skipped: %s; remove it, or mend it", number, reason)
        self._told = set(unreadable)
        return found

    def done(self, due: Due, error: str | None) -> None:
        """It was submitted, or refused for that reason; either way its next time is a later one."""
        self._database.write(done, due, error)


def add(
    connection: Connection,
    person: Person,
    cron: str,
    timezone: str,
    request: Request,
    reply_to: Mapping[str, Any] | None,
    allowed: Limits,
) -> ScheduledPrompt:
    """See :meth:`Timetable.add`."""
    # locks them, so that their additions wait for each other and the limit holds
    standing = accounts.introduce(connection, person, allowed)
    limits.welcome(standing)
    owner = standing.key
    mine = select(func.count()).select_from(scheduled_prompts).where(scheduled_prompts.c.person == owner)
    limit = LIMIT * 10 if person.operator else LIMIT
    if (connection.scalar(mine) or 0) >= limit:
        raise BadRequest.of("schedule", f"{limit} prompts are scheduled, the most there may be; remove one first")
    values = {
        "person": owner,
        "cron": cron,
        "timezone": timezone,
        "request": request.model_dump(mode="json", exclude_none=True),
        "reply_to": None if reply_to is None else dict(reply_to),
        "created": periods.clock(connection),
        "guild": person.guild,
    }
    row = connection.execute(insert(scheduled_prompts).values(values).returning(scheduled_prompts)).mappings().one()
    return _read(row)


def _theirs(person_key: str, guild: str | None) -> ColumnElement[bool]:
    own = scheduled_prompts.c.person == accounts.person_of(person_key)
    return own if guild is None else or_(own, scheduled_prompts.c.guild == guild)


def listed(connection: Connection, person_key: str | None, guild: str | None = None) -> list[ScheduledPrompt]:
    """See :meth:`Timetable.all`."""
    query = select(scheduled_prompts).order_by(scheduled_prompts.c.id)
    if person_key is not None:
        query = query.where(_theirs(person_key, guild))
    found = []
    for row in connection.execute(query).mappings():
        with suppress(ValueError, TypeError):  # the log names one that cannot be read, see due: by that it is removed
            found.append(_read(row))
    return found


def remove(connection: Connection, prompt_id: int, by: Person, guild: str | None = None) -> bool:
    """See :meth:`Timetable.remove`. One of somebody else's is audited."""
    which = scheduled_prompts.c.id == prompt_id
    if not by.operator:
        which &= _theirs(by.key, guild)
    owner = connection.scalar(delete(scheduled_prompts).where(which).returning(scheduled_prompts.c.person))
    if owner is None:
        return False
    ending.audit_if_foreign(connection, "unschedule", str(prompt_id), owner, by.key)
    periods.forget(connection, f"prompt:{prompt_id}")
    return True


def require(connection: Connection, prompt_id: int) -> None:
    """Raises :class:`BadRequest` if it was removed."""
    if connection.scalar(select(scheduled_prompts.c.id).where(scheduled_prompts.c.id == prompt_id)) is None:
        raise BadRequest.of("schedule", "it was removed meanwhile; nothing is submitted")


def due(connection: Connection) -> tuple[list[Due], dict[int, str]]:
    """See :meth:`Timetable.due`; and which of them cannot be read, with the reason. Reads every row: there are few."""
    now, found, unreadable = periods.clock(connection), [], {}
    for row in connection.execute(select(scheduled_prompts).order_by(scheduled_prompts.c.id)).mappings().all():
        try:
            prompt = _read(row)
            last = periods.last(connection, prompt.chore) or prompt.created
            period = Times(prompt.cron, prompt.timezone).missed(last, now)
        except (CalotypeError, ValueError, TypeError) as error:  # a time zone that this machine lacks, an older format
            unreadable[row["id"]] = str(error)
            continue
        if period is not None:
            person = OPERATOR if prompt.person == OPERATOR.key else Person(prompt.person)
            person = replace(person, guild=prompt.guild)
            found.append(Due(prompt, period, person))
    return found, unreadable


def done(connection: Connection, due: Due, error: str | None) -> None:
    """See :meth:`Timetable.done`. Nothing if the prompt was removed meanwhile."""
    which = update(scheduled_prompts).where(scheduled_prompts.c.id == due.prompt.id).values(error=error)
    if connection.execute(which).rowcount:
        periods.begin(connection, due.prompt.chore, due.period)


def _read(row: RowMapping) -> ScheduledPrompt:
    plain = ("id", "person", "cron", "timezone", "created", "reply_to", "error", "guild")
    return ScheduledPrompt(request=to_request(row["request"]), **{name: row[name] for name in plain})
