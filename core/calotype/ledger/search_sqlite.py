"""SQLite's side of the search. FTS5 reads its lists of rows backwards, so the newest are found first.

What it does lazily for a word it does not do for the beginning of one: there it first puts the lists of all words that
begin so together. So the words themselves are looked up, if they are few; very short beginnings are indexed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import BindParameter, Connection, column, select, table, text

from calotype.ledger.tables import jobs
from calotype.ledger.words import Term

BETWEEN: Final = " ¬ "
"""Stands between the texts of a job, so that no phrase reaches from one into the next."""
_INDEXED: Final = 3
"""Letters of the longest beginning that has an index of its own."""
_FEW: Final = 48
"""Words that begin alike and are looked for one by one."""

_fts = table("job_words_fts", column("rowid"))


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
    match = " AND ".join([*(f'"{facet}"' for facet in narrowed), *(_one(connection, term) for term in wanted)])
    query = select(_fts.c.rowid).where(text("job_words_fts MATCH :match").bindparams(match=match))
    if conditions:
        query = query.join(jobs, jobs.c.seq == _fts.c.rowid)
        query = query.where(*(text(sql).bindparams(bind) for sql, bind in conditions))
    if below is not None:
        query = query.where(_fts.c.rowid < below)
    if lowest:
        query = query.where(_fts.c.rowid >= lowest)
    return list(connection.scalars(query.order_by(_fts.c.rowid.desc()).limit(limit)))


def _one(connection: Connection, term: Term) -> str:
    """A term in FTS5's language: words hold letters and digits only, so there is nothing to escape."""
    *first, last = term.words
    if not term.open:
        return f'"{" ".join(term.words)}"'
    if len(last) > _INDEXED:
        endings = _words_that_begin(connection, last)
        if endings is not None:
            return "(" + " OR ".join(f'"{" ".join([*first, ending])}"' for ending in endings or [last]) + ")"
    return f'"{" ".join(term.words)}" *'


def _words_that_begin(connection: Connection, beginning: str) -> list[str] | None:
    """Those that are in use; None if they are many. A seek for each, whatever the number of jobs they are in."""
    found: list[str] = []
    query = text("SELECT term FROM job_words_terms WHERE term >= :least ORDER BY term LIMIT 1")
    least = beginning
    while (word := connection.scalar(query, {"least": least})) is not None and str(word).startswith(beginning):
        if len(found) == _FEW:
            return None
        found.append(word)
        least = f"{word}\x01"  # the next one: no word holds such a sign
    return found
