"""Who is next: virtual time, carried by people and not by jobs.

Start-time fair queueing (Goyal, Vin & Cheng 1996) with the tag on the client, as in VTC (Sheng et al. 2024). A
person's ``vtime`` is the service they received, in cost units divided by their weight. The claim takes the
person with the smallest one and charges them the job's cost at once. Whoever becomes active starts no earlier
than the clock V, so that nobody saves up time while away. Nothing is ever rewritten when a queued job is
cancelled or a weight changes.

Counters and tags of ``persons`` are changed here only.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, case, select, update

from calotype.ledger.rows import now
from calotype.ledger.tables import accounts, clock, is_waiting, jobs, persons, scheduled_prompts
from calotype.roles import MEMBER, VISITOR

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Next(NamedTuple):
    """The person whose turn it is."""

    key: str
    weight: float
    vtime: float
    floor: float | None = None
    """The virtual time of whoever was passed over for them."""


def charge(cost: float, weight: float) -> float:
    """What a claim adds to the virtual time. Raises ValueError for what would break the order of everybody else."""
    amount = cost / weight if weight > 0 else math.inf
    if not (cost > 0 and math.isfinite(amount) and amount > 0):
        raise ValueError(f"cost {cost!r} and weight {weight!r} must both be finite and above zero")
    return amount


def hold(connection: Connection, job_id: str) -> None:
    """Locks the job's person, before the job itself is touched.

    Every transaction takes these locks in this order, so that no two on PostgreSQL wait for each other. Linking, which
    deletes a person whose jobs it moved, takes both people's, in the order of their keys.
    """
    whose = select(jobs.c.person).where(jobs.c.id == job_id).scalar_subquery()
    query = select(persons.c.key).where(persons.c.key == whose).with_for_update()
    while connection.scalar(query) is None and connection.scalar(select(whose)) is not None:
        continue  # it has moved to another person while we waited: that one's row is to be locked


def enters(connection: Connection, person: str, seq: int, also: Mapping[str, Any] = _NOTHING) -> None:
    """A new job waits. If nothing of the person's did, they become active, no earlier than the clock.

    ``also`` is what else changes in their row.
    """
    now = select(clock.c.vtime).where(clock.c.id == 1).scalar_subquery()
    idle = persons.c.queued == 0
    connection.execute(
        update(persons)
        .where(persons.c.key == person)
        .values(
            queued=persons.c.queued + 1,
            vtime=case((idle & (persons.c.vtime < now), now), else_=persons.c.vtime),
            waiting_since=case((idle, seq), else_=persons.c.waiting_since),
            **also,
        )
    )


def returns(connection: Connection, person: str, seq: int, charged: float) -> None:
    """A running job waits again and its charge is given back: the service was not received.

    Not lifted to the clock, unlike :func:`enters`: the person has been in the queue with this job all along.
    """
    older = (persons.c.queued == 0) | (persons.c.waiting_since > seq)
    connection.execute(
        update(persons)
        .where(persons.c.key == person)
        .values(
            queued=persons.c.queued + 1,
            running=persons.c.running - 1,
            vtime=persons.c.vtime - charged,
            waiting_since=case((older, seq), else_=persons.c.waiting_since),
        )
    )


def leaves(
    connection: Connection, person: str, *, queued: int = 0, running: int = 0, also: Mapping[str, Any] = _NOTHING
) -> None:
    """So many queued and running jobs of the person reached their end. ``also``: what else changes in their row."""
    connection.execute(
        update(persons)
        .where(persons.c.key == person)
        .values(queued=persons.c.queued - queued, running=persons.c.running - running, **also)
    )


def choose(connection: Connection, at_most_running: int | None = None) -> Next | None:
    """The person to serve next: the head of a partial index, whatever the length of the queue.

    People who have ``at_most_running`` jobs running are passed over: never more rows than jobs that run.
    """
    query = (
        select(persons.c.key, persons.c.weight, persons.c.vtime)
        .where(is_waiting)
        .order_by(persons.c.vtime, persons.c.waiting_since)
        .limit(1)
        .with_for_update(skip_locked=True)  # another process claims of that person, or they submit: the next one's turn
    )
    if at_most_running is not None:
        query = query.where(persons.c.running < at_most_running)
    row = connection.execute(query).one_or_none()
    return None if row is None else Next(*row)


def take(connection: Connection, person: str, limit: float, at_most_running: int | None) -> Next | None:
    """The person out of turn, if they still wait, at a virtual time of ``limit`` at most, and nobody else has them."""
    query = (
        select(persons.c.key, persons.c.weight, persons.c.vtime)
        .where(persons.c.key == person, is_waiting, persons.c.vtime <= limit)
        .with_for_update(skip_locked=True)
    )
    if at_most_running is not None:
        query = query.where(persons.c.running < at_most_running)
    row = connection.execute(query).one_or_none()
    return None if row is None else Next(*row)


def serves(connection: Connection, person: Next, charged: float) -> None:
    """One of the person's queued jobs runs from now on. The clock is where the first in line stood before the charge.

    It never goes back (a release may have set the person back): newcomers get no service for the time before them.
    """
    connection.execute(
        update(persons)
        .where(persons.c.key == person.key)
        .values(queued=persons.c.queued - 1, running=persons.c.running + 1, vtime=person.vtime + charged)
    )
    first = person.vtime if person.floor is None else person.floor
    connection.execute(update(clock).where(clock.c.id == 1, clock.c.vtime < first).values(vtime=first))


def forget(connection: Connection, keys: Collection[str]) -> None:
    """Deletes those of whom nothing is left: no job, no tag that still matters, nothing that was decided on them.

    A day's budget that was begun stays until another day: else it would be full again.
    """
    of_theirs = (jobs.c.person, accounts.c.person, scheduled_prompts.c.person)
    today = now().date().isoformat()
    connection.execute(
        persons.delete().where(
            persons.c.key.in_(keys),
            persons.c.queued == 0,  # looked at again by PostgreSQL if the person was just submitting
            persons.c.running == 0,
            *(persons.c.key.not_in(select(column).where(column.in_(keys))) for column in of_theirs),
            persons.c.banned.is_(None),
            persons.c.role.in_((VISITOR, MEMBER)),
            (persons.c.spent == 0) | persons.c.spent_on.is_(None) | (persons.c.spent_on < today),
            persons.c.vtime <= select(clock.c.vtime).where(clock.c.id == 1).scalar_subquery(),
        )
    )
