"""A bounded preference for jobs whose model is in memory: a change of models costs seconds in which nobody is served.

The claim may pass over the person whose turn it is for one further back whose next job needs a loaded model. The bound
is each one's own: whoever is passed over is overtaken by at most :data:`SLACK` times the charge of their next job. So
between two people who always have work the service differs by at most ``1 + SLACK`` jobs of each.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Connection, Select, select

from calotype.ledger import fair
from calotype.ledger.tables import is_queued, is_waiting, jobs, persons

SLACK: Final = 2.0
"""Of the next job of whoever is passed over. In turns: they wait about two of their jobs longer, never more."""
_LOOK_AT: Final = 16
"""People that are looked at behind the one whose turn it is: a claim must not grow with the queue."""


def instead(connection: Connection, head: fair.Next, loaded: Collection[str], at_most_running: int | None) -> fair.Next:
    """The person to serve: ``head``, whose turn it is, or another within everybody's slack who needs no new model."""
    cost, model = connection.execute(_next_job(head.key)).one()
    if model in loaded:
        return head
    limit = head.vtime + SLACK * fair.charge(cost, head.weight)
    for row in connection.execute(_behind(head, limit, at_most_running)).all():
        if row.vtime > limit or row.model in loaded:
            found = None if row.vtime > limit else fair.take(connection, row.key, limit, at_most_running)
            return head if found is None else found._replace(floor=head.vtime)
        if row.cost is not None:  # else another process has just taken their last one
            limit = min(limit, row.vtime + SLACK * fair.charge(row.cost, row.weight))
    return head


def _next_job(person: object) -> Select[Any]:
    """Cost and model of a person's oldest queued job."""
    return select(jobs.c.cost, jobs.c.model).where(jobs.c.person == person, is_queued).order_by(jobs.c.seq).limit(1)


def _behind(head: fair.Next, limit: float, at_most_running: int | None) -> Select[Any]:
    """The next people in line, in its order, with cost and model of their next jobs."""
    following = _next_job(persons.c.key).correlate(persons)
    query = (
        select(
            persons.c.key,
            persons.c.weight,
            persons.c.vtime,
            following.with_only_columns(jobs.c.cost).scalar_subquery().label("cost"),
            following.with_only_columns(jobs.c.model).scalar_subquery().label("model"),
        )
        .where(is_waiting, persons.c.vtime.between(head.vtime, limit), persons.c.key != head.key)
        .order_by(persons.c.vtime, persons.c.waiting_since)
        .limit(_LOOK_AT)
    )
    return query if at_most_running is None else query.where(persons.c.running < at_most_running)
