"""People: the ledger's door to roles, bans, links and what is known of each. Every method is one transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, func, or_, select, update

from calotype.errors import BadRequest
from calotype.ledger import accounts, audit, ending, linking
from calotype.ledger.database import Database
from calotype.ledger.tables import accounts as linked
from calotype.ledger.tables import persons
from calotype.person import Person
from calotype.roles import MEMBER, Limits

REASON_LIMIT: Final = 500
"""Characters of the reason for a ban."""


@dataclass(frozen=True)
class Known:
    """What is known of a person. ``spent``: cost units of today's budget that are used."""

    key: str
    name: str
    role: str
    weight: float
    queued: int
    running: int
    spent: float
    daily_budget: float | None
    banned: datetime | None
    ban_reason: str | None
    accounts: tuple[str, ...]


@dataclass(frozen=True)
class LinkCode:
    """A code to be shown by another account, once, before it expires."""

    code: str
    expires: datetime


class People:
    """All methods may be called from any thread, and raise :class:`DatabaseError` if the database does not do it."""

    def __init__(self, database: Database, limits: Limits) -> None:
        self._database = database
        self.limits = limits

    def person_key(self, account: str) -> str:
        """The key of the person whom an account belongs to: one indexed read."""
        return self._database.read(accounts.resolve, account)

    def link_code(self, person: Person) -> LinkCode:
        """A new code of this account; an earlier one holds no more. Raises :class:`NotAllowed` if they are banned."""
        code = linking.new_code()
        return LinkCode(code, self._database.write(linking.make, person, linking.digest(code), self.limits))

    def link(self, person: Person, code: str) -> str:
        """Joins this account to the one that made the code, with everything it has; the person's key.

        Raises :class:`BadRequest` for a code that does not hold, :class:`NotAllowed` if either is banned.
        """
        return self._database.write(linking.join, person, linking.digest(code), self.limits)

    def ban(self, key: str, reason: str, by: str) -> list[str]:
        """Takes nothing from the person any more, and calls off what waits or runs of theirs: those jobs' ids.

        Somebody who was never here may be banned as well. A second ban changes the reason.
        """
        reason = " ".join(reason.split())
        if not 1 <= len(reason) <= REASON_LIMIT:
            raise BadRequest.of(
                "reason", f"has {len(reason)} characters; give 1 to {REASON_LIMIT}: the person reads it"
            )
        return self._database.write(_ban, key, reason, by, self.limits)

    def unban(self, key: str, by: str) -> None:
        """Welcomes the person again. Raises :class:`BadRequest` if they are not banned."""
        self._database.write(_unban, key, by, self.limits)

    def set_role(self, key: str, role: str, by: str) -> None:
        """Gives the person a role, whose weight acts at once; also somebody who was never here.

        Raises :class:`BadRequest` for a role that is none.
        """
        self.limits.check_role(role)
        self._database.write(_set_role, key, role, by, self.limits)

    def one(self, key: str) -> Known:
        """The person whom this account belongs to. Raises :class:`BadRequest` if nobody is known by it."""
        found = self._database.read(_one, key, self.limits)
        if found is None:
            raise BadRequest.of("person", f"{key[:100]!r} is nobody's account here; see calotype people list")
        return found

    def all(self, limit: int = 100, after: str = "", search: str = "") -> list[Known]:
        """People by key, from the first behind ``after``; ``search``: those in whose name or accounts it stands."""
        return self._database.read(_all, limit, after, search, self.limits)

    def apply_roles(self) -> int:
        """Gives everybody the weight that the settings have for their role now. How many it changed."""
        return self._database.write(_apply_roles, self.limits)

    def audit(self, subject: str | None = None, limit: int = 100) -> list[audit.Entry]:
        """What was done, newest first; ``subject``: only what that person or thing did or had done to it."""
        return self._database.read(audit.entries, subject, limit)


def _ban(connection: Connection, key: str, reason: str, by: str, limits: Limits) -> list[str]:
    (standing,) = accounts.lock(connection, [Person(key)], limits)
    since = standing.banned or accounts.clock(connection)
    _change(connection, standing.key, banned=since, ban_reason=reason)
    cancelled = ending.cancel_all(connection, standing.key)
    audit.note(connection, by, "ban", standing.key, reason=reason, cancelled=len(cancelled))
    return cancelled


def _unban(connection: Connection, key: str, by: str, limits: Limits) -> None:
    (standing,) = accounts.lock(connection, [Person(key)], limits)
    if standing.banned is None:
        raise BadRequest.of("person", f"{key[:100]!r} is not banned")
    _change(connection, standing.key, banned=None, ban_reason=None)
    audit.note(connection, by, "unban", standing.key, reason=standing.ban_reason)


def _set_role(connection: Connection, key: str, role: str, by: str, limits: Limits) -> None:
    (standing,) = accounts.lock(connection, [Person(key)], limits)
    _change(connection, standing.key, role=role, weight=limits.role(role).weight)
    audit.note(connection, by, "role", standing.key, before=standing.role, role=role)


def _change(connection: Connection, key: str, **values: Any) -> None:
    connection.execute(update(persons).where(persons.c.key == key).values(**values))


def _apply_roles(connection: Connection, limits: Limits) -> int:
    changed = 0
    for name in limits.roles:
        theirs = persons.c.role == name
        if name == MEMBER:
            theirs |= persons.c.role.not_in(list(limits.roles))
        weight = limits.role(name).weight
        another = theirs & (persons.c.weight != weight)
        changed += connection.execute(update(persons).where(another).values(weight=weight)).rowcount
    return changed


def _one(connection: Connection, key: str, limits: Limits) -> Known | None:
    row = connection.execute(select(persons).where(persons.c.key == accounts.person_of(key))).one_or_none()
    return None if row is None else _known(connection, [row], limits)[0]


def _all(connection: Connection, limit: int, after: str, search: str, limits: Limits) -> list[Known]:
    query = select(persons).where(persons.c.key > after).order_by(persons.c.key).limit(max(limit, 0))
    if search:
        hit = select(linked.c.person).where(_holds(linked.c.key, search))
        query = query.where(or_(_holds(persons.c.key, search), _holds(persons.c.name, search), persons.c.key.in_(hit)))
    return _known(connection, connection.execute(query).all(), limits)


def _holds(column: Any, words: str) -> Any:
    return func.lower(column).contains(words.lower(), autoescape=True)


def _known(connection: Connection, rows: Sequence[Any], limits: Limits) -> list[Known]:
    today = (accounts.clock(connection) if limits.now is None else limits.now()).date().isoformat()
    found = []
    for row in rows:
        plain = {name: getattr(row, name) for name in Known.__dataclass_fields__ if name in row._mapping}
        plain["spent"] = row.spent if row.spent_on == today else 0.0
        budget = limits.role(row.role).daily_budget
        of_them = tuple(accounts.accounts_of(connection, row.key))
        found.append(Known(**plain, daily_budget=budget, accounts=of_them))
    return found
