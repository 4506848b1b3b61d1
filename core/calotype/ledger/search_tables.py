"""Where the words of jobs stand, and what keeps them in step with the jobs.

SQLite finds them by FTS5, which can be read from the newest row backwards; PostgreSQL by a GIN index over a tsvector.
A row is written with its job and goes with it; triggers do the rest, so that an UPDATE of a job, wherever it stands in
the code, leaves nothing behind. What is not a plain table is created by events of the metadata, and by migration 0005.

*Facets* are what a search is narrowed down by: person, guild, model, sampler, whether it is a favourite. They are
words in the same index, so that a narrow search reads little even where the words are frequent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import DDL, Column, ForeignKey, Table, Text, event
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR

from calotype.ledger.tables import Number, metadata

job_words = Table(
    "job_words",
    metadata,
    Column("seq", Number, ForeignKey("jobs.seq", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("facets", Text().with_variant(ARRAY(Text), "postgresql"), nullable=False),
    Column("words", Text().with_variant(TSVECTOR, "postgresql"), nullable=False),
)

ERA_BITS: Final = 13
"""PostgreSQL: jobs whose numbers agree but for so many bits have a facet in common, by which new ones are found."""

_FACETS_SQLITE: Final = """'¬p' || lower(hex(new.person))
      || coalesce(' ¬g' || lower(hex(new.guild)), '')
      || coalesce(' ¬m' || lower(hex(new.model)), '')
      || coalesce(' ¬s' || lower(hex(new.sampler)), '')
      || CASE WHEN new.favourite THEN ' ¬f' ELSE '' END"""

SQLITE: Final = (
    # words come ready from ledger/words.py: split at blanks, nothing else. Short beginnings have an index of their own
    """CREATE VIRTUAL TABLE job_words_fts USING fts5(facets, words, content='job_words', content_rowid='seq',
    tokenize='ascii', prefix='1 2 3', columnsize=0)""",
    "CREATE VIRTUAL TABLE job_words_terms USING fts5vocab('job_words_fts', 'instance')",
    """CREATE TRIGGER job_words_inserted AFTER INSERT ON job_words BEGIN
  INSERT INTO job_words_fts (rowid, facets, words) VALUES (new.seq, new.facets, new.words);
END""",
    """CREATE TRIGGER job_words_deleted AFTER DELETE ON job_words BEGIN
  INSERT INTO job_words_fts (job_words_fts, rowid, facets, words) VALUES ('delete', old.seq, old.facets, old.words);
END""",
    """CREATE TRIGGER job_words_updated AFTER UPDATE ON job_words BEGIN
  INSERT INTO job_words_fts (job_words_fts, rowid, facets, words) VALUES ('delete', old.seq, old.facets, old.words);
  INSERT INTO job_words_fts (rowid, facets, words) VALUES (new.seq, new.facets, new.words);
END""",
    """CREATE TRIGGER jobs_moved AFTER UPDATE OF person, guild, model, sampler, favourite ON jobs BEGIN
  UPDATE job_words SET facets = FACETS
  WHERE seq = new.seq;
END""".replace("FACETS", _FACETS_SQLITE),
)

POSTGRESQL: Final = (
    # a small pending list: every search reads all of it
    "CREATE INDEX ix_job_words_search ON job_words USING gin (facets, words) WITH (gin_pending_list_limit = 256)",
    """CREATE FUNCTION calotype_facet(kind text, value text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT kind || left(encode(sha256(convert_to(value, 'UTF8')), 'hex'), 32)
$$""",
    """CREATE FUNCTION calotype_job_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE job_words SET facets = array_remove(ARRAY[
    'e' || (new.seq >> 13),
    calotype_facet('p', new.person), calotype_facet('g', new.guild),
    calotype_facet('m', new.model), calotype_facet('s', new.sampler),
    CASE WHEN new.favourite THEN 'f' END
  ], NULL) WHERE seq = new.seq;
  RETURN NULL;
END
$$""",
    """CREATE TRIGGER jobs_moved AFTER UPDATE OF person, guild, model, sampler, favourite ON jobs
FOR EACH ROW EXECUTE FUNCTION calotype_job_moved()""",
)

SQLITE_GONE: Final = (
    "DROP TRIGGER IF EXISTS jobs_moved",
    "DROP TABLE IF EXISTS job_words_terms",
    "DROP TABLE IF EXISTS job_words_fts",
)
POSTGRESQL_GONE: Final = (
    "DROP TRIGGER IF EXISTS jobs_moved ON jobs",
    "DROP FUNCTION IF EXISTS calotype_job_moved()",
    "DROP FUNCTION IF EXISTS calotype_facet(text, text)",
)

UNMODELLED: Final = ("job_words_fts", "job_words_terms", "ix_job_words_search")
"""Beginnings of the names of what the database has and the metadata has not: nothing to compare there."""

_ddl: Callable[[str], Any] = DDL

for _moment, _dialect, _statements in (
    ("after_create", "sqlite", SQLITE),
    ("after_create", "postgresql", POSTGRESQL),
    ("before_drop", "sqlite", SQLITE_GONE),
    ("before_drop", "postgresql", POSTGRESQL_GONE),
):
    for _statement in _statements:
        event.listen(job_words, _moment, _ddl(_statement).execute_if(dialect=_dialect))
