"""Caps and budgets, checked where a job is accepted, with the person's row locked: no number of processes gets around.

A cap counts what waits, by a partial index that holds queued jobs only. A job that is put back into the queue was
accepted before and is not refused, so a cap may be passed by what runs.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, case, func, select, text

from calotype.errors import LimitReached, NotAllowed
from calotype.ledger.accounts import Standing
from calotype.ledger.tables import is_queued, jobs, persons
from calotype.person import Person
from calotype.roles import Limits

_LOCK: Final = 0x43414C51
"""First key of the advisory locks under which jobs of one guild or address are counted."""
_ROUNDING: Final = 1e-9


def check(connection: Connection, standing: Standing, person: Person, cost: float, limits: Limits) -> dict[str, Any]:
    """What of the person's row changes if the job is accepted. Raises :class:`NotAllowed` with what to do if not."""
    welcome(standing)
    if not person.operator:
        _check_queued(standing, limits)
        _check_place(connection, "guild", person.guild, limits.guild_queued)
        _check_place(connection, "address", person.address, limits.address_queued)
        _check_budget(standing, cost, limits)
    return {"spent": standing.spent_today + cost, "spent_on": standing.today}


def welcome(standing: Standing) -> None:
    """Raises :class:`NotAllowed` with the reason if the person is banned."""
    if standing.banned is not None:
        since = f"{standing.banned:%Y-%m-%d}"
        raise NotAllowed(f"banned: since {since} nothing is taken from you: {standing.ban_reason}; ask the operator")


def _check_queued(standing: Standing, limits: Limits) -> None:
    cap = limits.role(standing.role).queued
    if cap == 0:
        raise LimitReached(f"queued: nothing is taken from a {standing.role} here; link an account that may ask")
    if cap is not None and standing.queued >= cap:
        raise LimitReached(
            f"queued: {_jobs(standing.queued)} of yours wait already, at most {cap} of a {standing.role}; "
            "wait until one has begun, or cancel one"
        )


def _check_place(connection: Connection, name: str, place: str | None, cap: int | None) -> None:
    """The cap of a guild or address. Whoever counts waits for whoever counts the same one, until that has committed."""
    if place is None or cap is None:
        return
    if connection.dialect.name == "postgresql":
        lock = text("SELECT pg_advisory_xact_lock(:key, hashtext(:place))")
        connection.execute(lock, {"key": _LOCK, "place": f"{name}:{place}"})
    waiting = connection.scalar(select(func.count()).where(jobs.c[name] == place, is_queued)) or 0
    if waiting >= cap:
        where = "from this server" if name == "guild" else "from your address"
        raise LimitReached(f"{name}: {_jobs(waiting)} {where} wait already, at most {cap}; try again in a while")


def _check_budget(standing: Standing, cost: float, limits: Limits) -> None:
    budget = limits.role(standing.role).daily_budget
    if budget is None or standing.spent_today + cost <= budget * (1 + _ROUNDING):
        return
    left = max(budget - standing.spent_today, 0.0)
    raise LimitReached(
        f"daily budget: this needs {cost:.3g} units and {left:.3g} of {budget:g} are left today; "
        "it is full again at 00:00 UTC, or choose fewer steps"
    )


def given_back(cost: float, created: datetime) -> dict[str, ColumnElement[float]]:
    """What of the person's row changes if the job is not made after all: that day's budget gets its cost back."""
    rest = persons.c.spent - cost
    of_that_day = persons.c.spent_on == created.date().isoformat()
    return {"spent": case((of_that_day & (rest > 0), rest), (of_that_day, 0.0), else_=persons.c.spent)}


def _jobs(number: int) -> str:
    return "1 job" if number == 1 else f"{number} jobs"
