"""Accounts and the people they belong to: the one place where one becomes the other.

An account is what a front end knows somebody by. Without a row in ``accounts`` it is a person by itself, of the same
key. Linking (:mod:`~calotype.ledger.linking`) moves everything of one person to another in one transaction and
then deletes the person who is no more, so whoever holds a person's row may rely on it. On PostgreSQL an account is
looked up once more after its person was locked: linking may have come in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, case, delete, func, insert, literal, select
from sqlalchemy.dialects import postgresql, sqlite

from calotype.ledger.rows import now
from calotype.ledger.tables import UTCDateTime, accounts, persons
from calotype.person import Person
from calotype.roles import MEMBER, VISITOR, Limits
from calotype.texts import mended


class Standing(NamedTuple):
    """A person's row as it is while it is locked, and the time by which days are counted."""

    key: str
    role: str
    queued: int
    banned: datetime | None
    ban_reason: str | None
    spent: float
    spent_on: str | None
    now: datetime

    @property
    def today(self) -> str:
        """ISO date, UTC."""
        return self.now.date().isoformat()

    @property
    def spent_today(self) -> float:
        """Cost units accepted today."""
        return self.spent if self.spent_on == self.today else 0.0


_STANDING = [persons.c[name] for name in Standing._fields if name != "now"]


def person_of(account: str) -> ColumnElement[str]:
    """The key of the account's person, as part of a query: one seek."""
    linked = select(accounts.c.person).where(accounts.c.key == account).scalar_subquery()
    return func.coalesce(linked, account)


def resolve(connection: Connection, account: str) -> str:
    """The key of the account's person."""
    return str(connection.scalar(select(person_of(account))))


def accounts_of(connection: Connection, person: str) -> list[str]:
    """Every account of a person, by their key; the person's own first."""
    linked = select(accounts.c.key).where(accounts.c.person == person).order_by(accounts.c.key)
    return [person, *connection.scalars(linked)]


def introduce(connection: Connection, person: Person, limits: Limits) -> Standing:
    """Writes down who the account's person is, as their front end knows them now, and locks them.

    Name and weight are refreshed; the role is only that of somebody new. On PostgreSQL all that follows waits here for
    other transactions on the same person.
    """
    while True:
        row = connection.execute(_upsert(connection, person, limits)).one()
        if not _moved(connection, person.key, row.key):
            return _standing(row, limits)


def lock(connection: Connection, people: Sequence[Person], limits: Limits) -> list[Standing]:
    """Locks the people of these accounts, in one order whoever asks; those who were never here are written down."""
    while True:
        keys = [resolve(connection, person.key) for person in people]
        for key, person in sorted(dict(zip(keys, people, strict=True)).items()):
            _insert(connection, key, person, limits)
        query = select(*_STANDING, _now(connection)).where(persons.c.key.in_(keys)).order_by(persons.c.key)
        rows = {row.key: row for row in connection.execute(query.with_for_update())}
        moved = [_moved(connection, person.key, key) for key, person in zip(keys, people, strict=True)]
        if not any(moved) and all(key in rows for key in keys):
            return [_standing(rows[key], limits) for key in keys]


def _upsert(connection: Connection, person: Person, limits: Limits) -> Any:
    role = person.role or MEMBER
    row = _dialect(connection).insert(persons).values(key=person_of(person.key), **_new(person, limits))
    weights = {name: each.weight for name, each in limits.roles.items()}
    by_role = case(weights, value=persons.c.role, else_=limits.role(MEMBER).weight)
    changed: dict[str, Any] = {"weight": by_role if person.weight is None else person.weight}
    if person.name and role != VISITOR:  # a visitor's name says nothing, and may belong to somebody with a better one
        changed["name"] = mended(person.name)
    return row.on_conflict_do_update(index_elements=["key"], set_=changed).returning(*_STANDING, _now(connection))


def _insert(connection: Connection, key: str, person: Person, limits: Limits) -> None:
    row = _dialect(connection).insert(persons).values(key=key, **_new(person, limits))
    connection.execute(row.on_conflict_do_nothing(index_elements=["key"]))


def _new(person: Person, limits: Limits) -> dict[str, Any]:
    role = person.role or MEMBER
    weight = limits.role(role).weight if person.weight is None else person.weight
    return {"name": mended(person.name), "weight": weight, "role": role}


def _moved(connection: Connection, account: str, key: str) -> bool:
    """Whether the account was linked while we waited; then the row that we may have made for it is nobody's."""
    if connection.dialect.name == "sqlite" or resolve(connection, account) == key:
        return False
    connection.execute(delete(persons).where(persons.c.key == key, persons.c.queued == 0, persons.c.running == 0))
    return True


def link(connection: Connection, account: str, person: str) -> None:
    """The account is the person's from now on."""
    connection.execute(insert(accounts).values(key=account, person=person, linked=now()))


def _standing(row: Any, limits: Limits) -> Standing:
    found = Standing(**row._mapping)
    return found if limits.now is None else found._replace(now=limits.now().astimezone(UTC))


def clock(connection: Connection) -> datetime:
    """The database's clock. SQLite is in our own process, and so is its clock."""
    read: datetime = connection.scalars(select(_now(connection))).one()
    return read


def _now(connection: Connection) -> ColumnElement[datetime]:
    """The clock, to be read when the row is there and locked."""
    if connection.dialect.name == "sqlite":
        return literal(now(), UTCDateTime).label("now")
    return func.clock_timestamp(type_=UTCDateTime).label("now")


def _dialect(connection: Connection) -> Any:
    return postgresql if connection.dialect.name == "postgresql" else sqlite
