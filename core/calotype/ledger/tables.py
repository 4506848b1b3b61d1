"""The ledger's tables: what is durable about people, jobs, pictures and deliveries.

One schema for SQLite and PostgreSQL. Changed only together with a migration (``alembic check`` is a test).
Read by :mod:`~calotype.ledger.fair` (persons, clock), :mod:`~calotype.ledger.accounts` and
:mod:`~calotype.ledger.linking` (persons, accounts), :mod:`~calotype.ledger.queue` and
:mod:`~calotype.ledger.ending` (jobs), :mod:`~calotype.ledger.starts` (init_images, masks, uploads),
:mod:`~calotype.ledger.history` and :mod:`~calotype.ledger.outbox`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from calotype.job import JobStatus

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UTCDateTime(TypeDecorator[datetime]):
    """Aware UTC datetimes in and out, on SQLite too, which stores them without a zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuses a naive datetime: nobody could tell its zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; the ledger takes aware datetimes only")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Always aware, always UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class StatusText(TypeDecorator[JobStatus]):
    """A :class:`JobStatus` by its value: psycopg would write an enum's name."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Its value, as plain text."""
        return None if value is None else JobStatus(value).value


# SQLite numbers rows by itself only where the type is exactly INTEGER.
Number: Final = BigInteger().with_variant(Integer, "sqlite")


def _json() -> JSON:
    stored: JSON = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
    return stored


def _when(condition: str) -> dict[str, Any]:
    """A partial index, on either database."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}


clock = Table(
    "clock",
    metadata,
    Column("id", Integer, primary_key=True),
    # Virtual time of the service: no active person stood behind it when the last claim was made.
    Column("vtime", Double, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)

persons = Table(
    "persons",
    metadata,
    Column("key", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("weight", Double, nullable=False),
    # Cost units of service received, divided by the weight.
    Column("vtime", Double, nullable=False, server_default=text("0")),
    # How many of this person's jobs are queued and running: what makes the claim an index seek.
    Column("queued", Integer, nullable=False, server_default=text("0")),
    Column("running", Integer, nullable=False, server_default=text("0")),
    # `jobs.seq` with which the person became active: first come, first served among equal virtual times.
    Column("waiting_since", BigInteger, nullable=False, server_default=text("0")),
    # Name of a role: its weight, caps and daily budget are the operator's settings.
    Column("role", Text, nullable=False, server_default=text("'member'")),
    # Since when nothing is taken from them any more, and why. NULL: they are welcome.
    Column("banned", UTCDateTime),
    Column("ban_reason", Text),
    # Cost units accepted from them on that day (ISO date, UTC). On any other day it is nothing.
    Column("spent", Double, nullable=False, server_default=text("0")),
    Column("spent_on", Text),
    CheckConstraint("weight > 0", name="weight_positive"),
    CheckConstraint("queued >= 0", name="queued_not_negative"),
    CheckConstraint("running >= 0", name="running_not_negative"),
    Index("ix_persons_waiting", "vtime", "waiting_since", **_when("queued > 0")),
)

# Names under which front ends know somebody who is one person with others: a Discord account and a web visitor.
# Without a row here an account is a person by itself, of the same key.
accounts = Table(
    "accounts",
    metadata,
    Column("key", Text, primary_key=True),
    Column("person", Text, ForeignKey("persons.key"), nullable=False, index=True),
    Column("linked", UTCDateTime, nullable=False),
)

# One-time codes with which a person shows that another account is theirs too.
link_codes = Table(
    "link_codes",
    metadata,
    # PBKDF2 with SHA-256: whoever reads the database cannot try all codes before they expire.
    Column("digest", Text, primary_key=True),
    Column("account", Text, nullable=False, unique=True),
    Column("expires", UTCDateTime, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    # Order of submission. Times play no part in any order: clocks jump.
    Column("seq", Number, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("person", Text, ForeignKey("persons.key"), nullable=False),
    # Idempotency: unique per person, so that nobody reaches somebody else's job by guessing a key.
    Column("key", Text),
    Column("status", StatusText, nullable=False),
    Column("request", _json(), nullable=False),
    Column("model", Text),
    Column("sampler", Text),
    Column("cost", Double, nullable=False),
    # What the claim added to the person's virtual time, so that a release can give exactly that back.
    Column("charge", Double, nullable=False, server_default=text("0")),
    Column("epoch", Integer, nullable=False, server_default=text("0")),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("created", UTCDateTime, nullable=False),
    Column("started", UTCDateTime),
    Column("finished", UTCDateTime),
    Column("error", Text),
    Column("record", _json()),
    Column("reply_to", _json()),
    # The account that submitted it, where that is not the person's own key.
    Column("account", Text),
    # Where it came from, for caps: a Discord server; a digest of a visitor's address.
    Column("guild", Text),
    Column("address", Text),
    # Job of which this is a variation. Not a foreign key: it may be erased.
    Column("parent", Text),
    Column("favourite", Boolean, nullable=False, server_default=false()),
    # The process that runs it, and until when it has said so (the database's clock). Only where several work on it.
    Column("worker", Text),
    Column("lease", UTCDateTime),
    UniqueConstraint("person", "key"),
    # `status` once more as a column, or SQLite walks through a person's whole history on ix_jobs_person_seq instead;
    # `cost` and `id` for the positions, which then read nothing else.
    Index("ix_jobs_queued", "status", "person", "seq", "cost", "id", **_when("status = 'queued'")),
    Index("ix_jobs_person_seq", "person", "seq"),
    Index("ix_jobs_status_finished", "status", "finished"),
    Index("ix_jobs_guild_queued", "guild", **_when("status = 'queued' AND guild IS NOT NULL")),
    Index("ix_jobs_address_queued", "address", **_when("status = 'queued' AND address IS NOT NULL")),
    Index("ix_jobs_lease", "lease", **_when("status = 'running'")),
    Index("ix_jobs_favourites", "person", "seq", **_when("favourite")),
    Index("ix_jobs_parent", "parent", **_when("parent IS NOT NULL")),
    sqlite_autoincrement=True,  # a number is never given out twice, even after its row was deleted
)

# Conditions of the partial indexes, written out and not bound: SQLite can only compare what it can read.
is_waiting: Final = persons.c.queued > literal_column("0")
is_queued: Final = jobs.c.status == literal_column("'queued'")

pictures = Table(
    "pictures",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("index", Integer, primary_key=True),
    Column("seed", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False, index=True),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("notes", _json(), nullable=False),
)

# The picture that a job starts from, where it does. The row keeps the picture's file, as those of `pictures` do.
init_images = Table(
    "init_images",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("sha256", Text, nullable=False, index=True),
)

# Which part of that picture the job repaints, where it does not take all of it. Kept in the same way.
masks = Table(
    "masks",
    metadata,
    Column("job_id", Text, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
    Column("sha256", Text, nullable=False, index=True),
)

uploads = Table(
    "uploads",
    metadata,
    Column("sha256", Text, primary_key=True),
    # Who brought it. Not a foreign key: they need not have had any job yet.
    Column("person", Text, primary_key=True),
    Column("taken", UTCDateTime, nullable=False),
    Index("ix_uploads_person", "person"),
    Index("ix_uploads_taken", "taken"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    # One result, one delivery. The row goes when the delivery was made.
    Column("job_id", Text, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False, unique=True),
    Column("front_end", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    # NULL is at once: a clock that jumps back cannot hold up a first delivery.
    Column("retry_at", UTCDateTime),
    Column("given_up", Boolean, nullable=False, server_default=false()),
    Column("error", Text),
    # each in the words in which SQLAlchemy asks that database
    Index(
        "ix_outbox_open", "front_end", "id", sqlite_where=text("given_up = 0"), postgresql_where=text("NOT given_up")
    ),
    sqlite_autoincrement=True,
)

# What was done with power over others, or with one's own data for good: never changed, never deleted by the program.
audit = Table(
    "audit",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("at", UTCDateTime, nullable=False),
    # Key of who did it.
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    # Whom or what it concerned: a person's key, a job's id, a word.
    Column("subject", Text, nullable=False),
    Column("details", _json()),
    Index("ix_audit_subject", "subject"),
    sqlite_autoincrement=True,
)

# Words and phrases that the operator added to the bundled list while the service ran.
blocked_words = Table(
    "blocked_words",
    metadata,
    Column("phrase", Text, primary_key=True),
    Column("added_by", Text, nullable=False),
    Column("added", UTCDateTime, nullable=False),
)

# Pictures that must not be made or taken in again, by a perceptual hash of 64 bits in hex: nobody can see them here.
blocked_pictures = Table(
    "blocked_pictures",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("added_by", Text, nullable=False),
    Column("added", UTCDateTime, nullable=False),
)

# Pictures whose files an operator removed: rows of jobs still name them, and they are missed by nobody.
removed_pictures = Table(
    "removed_pictures",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("removed", UTCDateTime, nullable=False),
    Column("reason", Text, nullable=False),
)

# Chores that were begun, by period: what makes each run once, however many processes there are.
chores_done = Table(
    "chores_done",
    metadata,
    Column("chore", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    Column("begun", UTCDateTime, nullable=False),
)

# Prompts that are submitted again and again at times that a cron expression names.
scheduled_prompts = Table(
    "scheduled_prompts",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=True),
    Column("person", Text, ForeignKey("persons.key"), nullable=False, index=True),
    Column("cron", Text, nullable=False),
    Column("timezone", Text, nullable=False, server_default=text("'UTC'")),
    Column("request", _json(), nullable=False),
    Column("reply_to", _json()),
    Column("created", UTCDateTime, nullable=False),
    # Why the last one was not submitted; NULL if it was.
    Column("error", Text),
    # The Discord server in which it was scheduled: its jobs count for that one's cap.
    Column("guild", Text),
    sqlite_autoincrement=True,
)

# The latest step of a running job, for watchers in other processes. On PostgreSQL an UNLOGGED table: worth nothing
# after a crash.
steps = Table(
    "steps",
    metadata,
    Column("job_id", Text, primary_key=True),
    Column("event", _json(), nullable=False),
    Column("preview", LargeBinary),
)
