"""Queue positions: the claims to come, played through with the same tags as the claims themselves.

When a job's turn comes is told from the same play: the cost that is claimed before it, and half of a running job's (a
place has to become free first, and on average half of what runs is done), divided by the cost units a second that
the service got done lately while it had anything to do.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from sqlalchemy import Connection, func, select

from calotype.job import JobStatus
from calotype.ledger.fair import charge
from calotype.ledger.tables import is_queued, is_waiting, jobs, persons

_FEW: Final = 500
"""Ids that are looked up one by one before the whole queue is read."""
_RECENT: Final = 100
"""Finished jobs by which the service's pace is measured."""

Head = tuple[float, int, str, float]
"""Virtual time, waiting since, key and weight of a person: sorts in the order of :func:`fair.choose`."""


class Turn(NamedTuple):
    """When a queued job's turn comes, if nobody comes and nobody goes."""

    position: int
    """How many queued jobs will be claimed before it. Exact, ties included."""
    eta_seconds: float | None
    """About how long that takes. None: nothing was measured yet."""


def positions(connection: Connection, job_ids: Collection[str]) -> dict[str, int]:
    """The position of each of these that is queued."""
    return {job_id: place for job_id, (place, _) in _ahead(connection, job_ids).items()}


def turns(connection: Connection, job_ids: Collection[str]) -> dict[str, Turn]:
    """The turn of each of these that is queued."""
    found = _ahead(connection, job_ids)
    speed = pace(connection) if found else None
    if speed is None:
        return {job_id: Turn(place, None) for job_id, (place, _) in found.items()}
    running = connection.scalar(select(func.avg(jobs.c.cost)).where(jobs.c.status == JobStatus.RUNNING)) or 0.0
    return {job_id: Turn(place, round((cost + running / 2) / speed, 1)) for job_id, (place, cost) in found.items()}


def pace(connection: Connection) -> float | None:
    """Cost units a second that the service gets done while it is at work; None if it has finished nothing yet.

    Of the jobs finished last: their cost, by the time in which at least one of them ran. So idle hours do not count,
    and what runs side by side counts once. Intervals that a clock turned round are left out.
    """
    finished = (jobs.c.status == JobStatus.FINISHED) & jobs.c.started.is_not(None) & jobs.c.finished.is_not(None)
    query = select(jobs.c.cost, jobs.c.started, jobs.c.finished).where(finished)
    rows = connection.execute(query.order_by(jobs.c.finished.desc()).limit(_RECENT)).all()
    ran = sorted((started, finished, cost) for cost, started, finished in rows if started < finished)
    busy, done, until = 0.0, 0.0, None
    for started, finished, cost in ran:
        begun = started if until is None else max(started, until)
        busy += max((finished - begun).total_seconds(), 0.0)
        until = finished if until is None else max(until, finished)
        done += cost
    return done / busy if busy > 0 else None


def _ahead(connection: Connection, job_ids: Collection[str]) -> dict[str, tuple[int, float]]:
    """How many queued jobs will be claimed before each of these, and their cost, if nobody comes and nobody goes.

    Exact, ties included: the same numbers are added in the same order as by the claims. Jobs that are not queued
    are left out. Takes time in proportion to the whole queue, about 4 µs a queued job.
    """
    asked = set(job_ids)
    if len(asked) <= _FEW:  # most often it is one, and often that one runs already
        asked = set(connection.scalars(select(jobs.c.id).where(jobs.c.id.in_(asked), is_queued)))
    if not asked:
        return {}
    waiting: dict[str, deque[tuple[str, float]]] = defaultdict(deque)
    in_line = select(jobs.c.person, jobs.c.id, jobs.c.cost).where(is_queued).order_by(jobs.c.person, jobs.c.seq)
    for person, job_id, cost in connection.execute(in_line):
        waiting[person].append((job_id, cost))
    active = select(persons.c.vtime, persons.c.waiting_since, persons.c.key, persons.c.weight)
    heads: list[Head] = [tuple(row) for row in connection.execute(active.where(is_waiting))]
    return _play(heads, waiting, asked)


def _play(
    heads: list[Head], waiting: Mapping[str, deque[tuple[str, float]]], asked: set[str]
) -> dict[str, tuple[int, float]]:
    """Claims from the smallest head until every asked job had its turn. Uses up its arguments."""
    found: dict[str, tuple[int, float]] = {}
    place, before = 0, 0.0
    heapq.heapify(heads)
    while heads and asked:
        vtime, since, person, weight = heads[0]
        job_id, cost = waiting[person].popleft()
        if job_id in asked:
            asked.discard(job_id)
            found[job_id] = (place, before)
        place, before = place + 1, before + cost
        if waiting[person]:
            heapq.heapreplace(heads, (vtime + charge(cost, weight), since, person, weight))
        else:
            heapq.heappop(heads)
    return found
