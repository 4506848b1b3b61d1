"""PostgreSQL's side of the search. A GIN index knows all rows of a word and no order among them.

So the newest jobs are looked at first, as many as cost next to nothing, then those of the newest *eras* through the
index, and only then all: a word that filled no page so far is rare enough to sort what is found.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import BigInteger, ColumnElement, Connection, FromClause, Select, Text, cast, literal, select, text
from sqlalchemy.dialects.postgresql import ARRAY, TSQUERY

from calotype.ledger.search_tables import ERA_BITS, job_words
from calotype.ledger.tables import jobs
from calotype.ledger.words import Term

_NEWEST: Final = 512
"""Jobs that are looked at one by one."""
_OF_PERSON: Final = 1000
"""The same of one person: each is another page of the table, but few people have more."""


def era(seq: int) -> str:
    """The facet that a job has in common with those before and after it."""
    return f"e{seq >> ERA_BITS}"


def vector(texts: Sequence[Sequence[str]]) -> str:
    """Words with their places, in PostgreSQL's notation. A place is left out between texts, so phrases end there."""
    places: dict[str, list[str]] = {}
    place = 0
    for words in texts:
        for word in words:
            place += 1
            places.setdefault(word, []).append(str(place))
        place += 1
    return " ".join(f"'{word}':{','.join(at)}" for word, at in places.items())


def find(
    connection: Connection,
    wanted: Sequence[Term],
    narrowed: Sequence[str],
    conditions: Sequence[ColumnElement[bool]],
    person: str | None,
    limit: int,
    below: int | None,
    lowest: int,
) -> list[int]:
    """Numbers of the newest jobs that match, newest first."""
    # plans are made for these very words, and never one that reads the whole table; for this transaction only
    for setting, value in (("enable_seqscan", "off"), ("jit", "off"), ("plan_cache_mode", "force_custom_plan")):
        connection.execute(text(f"SET LOCAL {setting} = {value}"))
    newest = _newest(connection, person, below, lowest)
    if not newest:
        return []
    # all of their rows are fetched before one is compared: the index of words would take longer
    some = select(job_words).where(job_words.c.seq == literal(list(newest), ARRAY(BigInteger)).any_())
    rows = some.cte("some").prefix_with("MATERIALIZED")
    found = _sorted(connection, select(rows.c.seq).where(*_matching(rows, wanted, narrowed)), conditions, limit)
    if len(found) == limit or len(newest) < (_NEWEST if person is None else _OF_PERSON):
        return found
    hits = select(job_words.c.seq).where(*_matching(job_words, wanted, narrowed), *_within(job_words, below, lowest))
    if person is None:
        eras = _texts([era(newest[0]), era(max(0, newest[0] - (1 << ERA_BITS)))])
        found = _sorted(connection, hits.where(job_words.c.facets.op("&&")(eras)), conditions, limit)
        if len(found) == limit:
            return found
    return _sorted(connection, hits, conditions, limit)


def _newest(connection: Connection, person: str | None, below: int | None, lowest: int) -> list[int]:
    """Numbers of the newest jobs, whatever their words."""
    source = job_words if person is None else jobs
    query = select(source.c.seq).where(*_within(source, below, lowest)).order_by(source.c.seq.desc())
    if person is not None:
        query = query.where(jobs.c.person == person)
    return list(connection.scalars(query.limit(_NEWEST if person is None else _OF_PERSON)))


def _sorted(
    connection: Connection, hits: Select[tuple[int]], conditions: Sequence[ColumnElement[bool]], limit: int
) -> list[int]:
    """All that match, then sorted: not the table read backwards until enough were met."""
    all_of_them = hits.cte("hits").prefix_with("MATERIALIZED")
    query = select(all_of_them.c.seq)
    if conditions:
        query = query.join(jobs, jobs.c.seq == all_of_them.c.seq).where(*conditions)
    return list(connection.scalars(query.order_by(all_of_them.c.seq.desc()).limit(limit)))


def _within(source: FromClause, below: int | None, lowest: int) -> list[ColumnElement[bool]]:
    """Between these numbers."""
    return [*([source.c.seq < below] if below is not None else []), *([source.c.seq >= lowest] if lowest else [])]


def _matching(source: FromClause, wanted: Sequence[Term], narrowed: Sequence[str]) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if narrowed:
        found.append(source.c.facets.op("@>")(_texts(narrowed)))
    if wanted:
        found.append(source.c.words.op("@@")(cast(literal(" & ".join(map(_one, wanted))), TSQUERY)))
    return found


def _one(term: Term) -> str:
    """A term in PostgreSQL's language: words hold letters and digits only, so there is nothing to escape."""
    return "(" + " <-> ".join(f"'{word}'" for word in term.words) + (":*)" if term.open else ")")


def _texts(values: Sequence[str]) -> ColumnElement[Sequence[str]]:
    return cast(literal(list(values), ARRAY(Text)), ARRAY(Text))
