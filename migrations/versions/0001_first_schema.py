"""First schema: people and their fair tags, jobs, pictures, the outbox."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | None = None
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def json() -> sa.types.TypeEngine[Any]:
    return sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def time() -> sa.types.TypeEngine[Any]:
    return sa.DateTime(timezone=True)


def upgrade() -> None:
    clock = op.create_table(
        "clock",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("vtime", sa.Double(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_clock_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clock")),
    )
    op.bulk_insert(clock, [{"id": 1, "vtime": 0.0}])
    create_persons()
    create_jobs()
    create_pictures()
    create_outbox()


def create_persons() -> None:
    op.create_table(
        "persons",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("weight", sa.Double(), nullable=False),
        sa.Column("vtime", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("queued", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("running", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("waiting_since", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("weight > 0", name=op.f("ck_persons_weight_positive")),
        sa.CheckConstraint("queued >= 0", name=op.f("ck_persons_queued_not_negative")),
        sa.CheckConstraint("running >= 0", name=op.f("ck_persons_running_not_negative")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_persons")),
    )
    waiting = sa.text("queued > 0")
    op.create_index(
        "ix_persons_waiting",
        "persons",
        ["vtime", "waiting_since"],
        sqlite_where=waiting,
        postgresql_where=waiting,
    )


def create_jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("seq", number(), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("request", json(), nullable=False),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("sampler", sa.Text(), nullable=True),
        sa.Column("cost", sa.Double(), nullable=False),
        sa.Column("charge", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("epoch", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("created", time(), nullable=False),
        sa.Column("started", time(), nullable=True),
        sa.Column("finished", time(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("record", json(), nullable=True),
        sa.Column("reply_to", json(), nullable=True),
        sa.ForeignKeyConstraint(["person"], ["persons.key"], name=op.f("fk_jobs_person_persons")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_jobs")),
        sa.UniqueConstraint("id", name=op.f("uq_jobs_id")),
        sa.UniqueConstraint("person", "key", name=op.f("uq_jobs_person_key")),
        sqlite_autoincrement=True,
    )
    queued = sa.text("status = 'queued'")
    op.create_index(
        "ix_jobs_queued",
        "jobs",
        ["status", "person", "seq", "cost", "id"],
        sqlite_where=queued,
        postgresql_where=queued,
    )
    op.create_index("ix_jobs_person_seq", "jobs", ["person", "seq"])
    op.create_index("ix_jobs_status_finished", "jobs", ["status", "finished"])


def create_pictures() -> None:
    op.create_table(
        "pictures",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("notes", json(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_pictures_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "index", name=op.f("pk_pictures")),
    )
    op.create_index(op.f("ix_pictures_sha256"), "pictures", ["sha256"])


def create_outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", number(), autoincrement=True, nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("front_end", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("retry_at", time(), nullable=True),
        sa.Column("given_up", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_outbox_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("job_id", name=op.f("uq_outbox_job_id")),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_outbox_open",
        "outbox",
        ["front_end", "id"],
        sqlite_where=sa.text("given_up = 0"),
        postgresql_where=sa.text("NOT given_up"),
    )


def downgrade() -> None:
    for table in ("outbox", "pictures", "jobs", "persons", "clock"):
        op.drop_table(table)
