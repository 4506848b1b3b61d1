"""Queue positions: the claims to come, played through with the same tags as the claims themselves."""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from collections.abc import Collection, Mapping
from typing import Final

from sqlalchemy import Connection, select

from calotype.ledger.fair import charge
from calotype.ledger.tables import is_queued, is_waiting, jobs, persons

_FEW: Final = 500
"""Ids that are looked up one by one before the whole queue is read."""

Head = tuple[float, int, str, float]
"""Virtual time, waiting since, key and weight of a person: sorts in the order of :func:`fair.choose`."""


def positions(connection: Connection, job_ids: Collection[str]) -> dict[str, int]:
    """How many queued jobs will be claimed before each of these, if nobody comes and nobody goes.

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


def _play(heads: list[Head], waiting: Mapping[str, deque[tuple[str, float]]], asked: set[str]) -> dict[str, int]:
    """Claims from the smallest head until every asked job had its turn. Uses up its arguments."""
    found: dict[str, int] = {}
    place = 0
    heapq.heapify(heads)
    while heads and asked:
        vtime, since, person, weight = heads[0]
        job_id, cost = waiting[person].popleft()
        if job_id in asked:
            asked.discard(job_id)
            found[job_id] = place
        place += 1
        if waiting[person]:
            heapq.heapreplace(heads, (vtime + charge(cost, weight), since, person, weight))
        else:
            heapq.heappop(heads)
    return found
