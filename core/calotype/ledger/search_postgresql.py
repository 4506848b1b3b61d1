"""PostgreSQL's side of the search. A GIN index knows all rows of a word and no order among them.

So the newest jobs are looked at first, as many as cost next to nothing, then those of the newest *eras* through the
index, and only then all: a word that filled no page so far is rare enough to sort what is found. It is one statement,
whose later parts are not begun if the earlier ones sufficed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, BindParameter, Connection, Text, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from calotype.ledger.search_tables import ERA_BITS
from calotype.ledger.words import Term

_NEWEST: Final = 512
"""Jobs that are looked at one by one."""
_OF_PERSON: Final = 400
"""The same of one person, of whom each is on another page of the table."""
_HIGHEST: Final = 2**63 - 1
_SETTINGS: Final = text(
    "SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true), "
    "set_config('plan_cache_mode', 'force_custom_plan', true)"
)
"""For one transaction: plans are made for these very words, and never one that reads the whole table."""

_WITHIN: Final = "job_words.seq < :below AND job_words.seq >= :lowest"
_NEWEST_OF_ALL: Final = "SELECT * FROM job_words WHERE WITHIN ORDER BY seq DESC LIMIT :window"
_NEWEST_OF_PERSON: Final = """
  SELECT job_words.* FROM job_words JOIN (
    SELECT seq FROM jobs WHERE person = :person AND jobs.seq < :below AND jobs.seq >= :lowest
    ORDER BY seq DESC LIMIT :window
  ) AS newest USING (seq)"""
_ERAS: Final = """job_words.facets && (
    SELECT ARRAY['e' || (max(seq) >> BITS), 'e' || greatest((max(seq) >> BITS) - 1, 0)] FROM newest
  )"""
_FIND: Final = """
WITH newest AS MATERIALIZED (NEWEST),
page AS MATERIALIZED (
  SELECT job_words.seq FROM newest AS job_words JOBS WHERE MATCHING ORDER BY job_words.seq DESC LIMIT :limit
),
wanting AS MATERIALIZED (
  SELECT (SELECT count(*) FROM page) < :limit AND (SELECT count(*) FROM newest) = :window AS yes
),
recent AS MATERIALIZED (
  SELECT job_words.seq FROM job_words JOBS WHERE MATCHING AND WITHIN AND ERAS AND (SELECT yes FROM wanting)
),
rest AS MATERIALIZED (
  SELECT job_words.seq FROM job_words JOBS WHERE MATCHING AND WITHIN
  AND (SELECT yes FROM wanting) AND (SELECT count(*) FROM recent) < :limit
)
SELECT seq FROM page UNION SELECT seq FROM recent UNION SELECT seq FROM rest ORDER BY seq DESC LIMIT :limit"""


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
    conditions: Sequence[tuple[str, BindParameter[Any]]],
    person: str | None,
    limit: int,
    below: int | None,
    lowest: int,
) -> list[int]:
    """Numbers of the newest jobs that match, newest first."""
    connection.execute(_SETTINGS)
    given: list[BindParameter[Any]] = [
        bindparam("limit", limit, BigInteger),
        bindparam("below", _HIGHEST if below is None else below, BigInteger),
        bindparam("lowest", lowest, BigInteger),
        bindparam("window", _NEWEST if person is None else _OF_PERSON, BigInteger),
    ]
    matching = [sql for sql, _ in conditions]
    given += [bind for _, bind in conditions]
    if narrowed:
        matching.append("job_words.facets @> CAST(:facets AS text[])")
        given.append(bindparam("facets", list(narrowed), ARRAY(Text)))
    if wanted:
        matching.append("job_words.words @@ CAST(:words AS tsquery)")
        given.append(bindparam("words", " & ".join(map(_one, wanted)), Text))
    if person is not None:
        given.append(bindparam("person", person, Text))
    sql = _statement(person is not None, " AND ".join(matching), bool(conditions))
    return list(connection.scalars(text(sql).bindparams(*given)))


def _statement(of_person: bool, matching: str, with_jobs: bool) -> str:
    """Put together from constants of this module and of the search: what somebody typed is bound."""
    # of one person there are few enough: all of them at once
    parts = {
        "NEWEST": _NEWEST_OF_PERSON if of_person else _NEWEST_OF_ALL,
        "ERAS": "false" if of_person else _ERAS.replace("BITS", str(ERA_BITS)),
        "JOBS": "JOIN jobs ON jobs.seq = job_words.seq" if with_jobs else "",
        "MATCHING": matching,
        "WITHIN": _WITHIN,
    }
    sql = _FIND
    for name, part in parts.items():
        sql = sql.replace(name, part)
    return sql


def _one(term: Term) -> str:
    """A term in PostgreSQL's language: words hold letters and digits only, so there is nothing to escape."""
    return "(" + " <-> ".join(f"'{word}'" for word in term.words) + (":*)" if term.open else ")")
