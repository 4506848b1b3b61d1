"""The ledger's tables: what is durable about people, jobs, pictures and deliveries.

One schema for SQLite and PostgreSQL. Changed only together with a migration (``alembic check`` is a test).
Read by :mod:`~calotype.ledger.fair` (persons, clock), :mod:`~calotype.ledger.queue` and
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
    CheckConstraint("weight > 0", name="weight_positive"),
    CheckConstraint("queued >= 0", name="queued_not_negative"),
    CheckConstraint("running >= 0", name="running_not_negative"),
    Index("ix_persons_waiting", "vtime", "waiting_since", **_when("queued > 0")),
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
    UniqueConstraint("person", "key"),
    # `status` once more as a column, or SQLite walks through a person's whole history on ix_jobs_person_seq instead;
    # `cost` and `id` for the positions, which then read nothing else.
    Index("ix_jobs_queued", "status", "person", "seq", "cost", "id", **_when("status = 'queued'")),
    Index("ix_jobs_person_seq", "person", "seq"),
    Index("ix_jobs_status_finished", "status", "finished"),
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
