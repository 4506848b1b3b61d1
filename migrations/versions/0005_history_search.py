"""Full-text search over the history; variations of a job are found by their parent."""

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from calotype.ledger.search import values

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

CHUNK: Final = 1000
VARIATION = sa.text("parent IS NOT NULL")

FACETS_SQLITE: Final = """'¬p' || lower(hex(new.person))
      || coalesce(' ¬g' || lower(hex(new.guild)), '')
      || coalesce(' ¬m' || lower(hex(new.model)), '')
      || coalesce(' ¬s' || lower(hex(new.sampler)), '')
      || CASE WHEN new.favourite THEN ' ¬f' ELSE '' END"""

SQLITE: Final = (
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
END""".replace("FACETS", FACETS_SQLITE),
)

POSTGRESQL: Final = (
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


def number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def json() -> sa.types.TypeEngine[Any]:
    return sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def job_words() -> list[sa.Column[Any]]:
    return [
        sa.Column("seq", number(), autoincrement=False, nullable=False),
        sa.Column("facets", sa.Text().with_variant(postgresql.ARRAY(sa.Text()), "postgresql"), nullable=False),
        sa.Column("words", sa.Text().with_variant(postgresql.TSVECTOR(), "postgresql"), nullable=False),
    ]


def upgrade() -> None:
    op.create_index("ix_jobs_parent", "jobs", ["parent"], sqlite_where=VARIATION, postgresql_where=VARIATION)
    op.create_table(
        "job_words",
        *job_words(),
        sa.ForeignKeyConstraint(["seq"], ["jobs.seq"], name=op.f("fk_job_words_seq_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_job_words")),
    )
    sqlite = op.get_bind().dialect.name == "sqlite"
    if sqlite:
        create(SQLITE)  # its index is filled by its triggers
    index_all()
    if not sqlite:
        create(POSTGRESQL)  # quicker on rows that are there


def create(statements: Sequence[str]) -> None:
    for statement in statements:
        op.get_bind().exec_driver_sql(statement.replace("%", "%%"))


def index_all() -> None:
    """Every job there is, in the words of today: whatever splits texts otherwise one day must index all anew."""
    connection = op.get_bind()
    texts = [sa.column(name, sa.Text()) for name in ("person", "guild", "model", "sampler")]
    jobs = sa.table(
        "jobs",
        sa.column("seq", sa.BigInteger()),
        *texts,
        sa.column("favourite", sa.Boolean()),
        sa.column("request", json()),
    )
    into = sa.table("job_words", *job_words())
    last = -1
    while (
        rows := connection.execute(sa.select(jobs).where(jobs.c.seq > last).order_by(jobs.c.seq).limit(CHUNK))
        .mappings()
        .all()
    ):
        last = rows[-1]["seq"]
        new = [values(connection.dialect.name, row["seq"], row, row["request"]) for row in rows]
        connection.execute(sa.insert(into), new)


def downgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER jobs_moved")
        op.execute("DROP TABLE job_words_terms")
        op.execute("DROP TABLE job_words_fts")
    else:
        op.execute("DROP TRIGGER jobs_moved ON jobs")
        op.execute("DROP FUNCTION calotype_job_moved()")
        op.execute("DROP FUNCTION calotype_facet(text, text)")
    op.drop_table("job_words")
    op.drop_index("ix_jobs_parent", "jobs")
