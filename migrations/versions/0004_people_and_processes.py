"""People with roles, bans and budgets, linked accounts; favourites; several processes; moderation, audit and chores."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None

QUEUED_OF_GUILD = sa.text("status = 'queued' AND guild IS NOT NULL")
QUEUED_OF_ADDRESS = sa.text("status = 'queued' AND address IS NOT NULL")
RUNNING = sa.text("status = 'running'")
FAVOURITE = sa.text("favourite")


def number() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def json() -> sa.types.TypeEngine[Any]:
    return sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def time() -> sa.types.TypeEngine[Any]:
    return sa.DateTime(timezone=True)


def of_persons() -> list[sa.Column[Any]]:
    return [
        sa.Column("role", sa.Text(), server_default=sa.text("'member'"), nullable=False),
        sa.Column("banned", time()),
        sa.Column("ban_reason", sa.Text()),
        sa.Column("spent", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("spent_on", sa.Text()),
    ]


def of_jobs() -> list[sa.Column[Any]]:
    return [
        sa.Column("account", sa.Text()),
        sa.Column("guild", sa.Text()),
        sa.Column("address", sa.Text()),
        sa.Column("parent", sa.Text()),
        sa.Column("favourite", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("worker", sa.Text()),
        sa.Column("lease", time()),
    ]


def upgrade() -> None:
    # plain ADD COLUMN on both databases: a rebuild of a long history would take minutes
    for column in of_persons():
        op.add_column("persons", column)
    for column in of_jobs():
        op.add_column("jobs", column)
    for name, columns, condition in (
        ("ix_jobs_guild_queued", ["guild"], QUEUED_OF_GUILD),
        ("ix_jobs_address_queued", ["address"], QUEUED_OF_ADDRESS),
        ("ix_jobs_lease", ["lease"], RUNNING),
        ("ix_jobs_favourites", ["person", "seq"], FAVOURITE),
    ):
        op.create_index(name, "jobs", columns, sqlite_where=condition, postgresql_where=condition)
    create_accounts()
    create_audit()
    create_blocked()
    create_chores()
    create_steps()


def create_accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("linked", time(), nullable=False),
        sa.ForeignKeyConstraint(["person"], ["persons.key"], name=op.f("fk_accounts_person_persons")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_accounts")),
    )
    op.create_index(op.f("ix_accounts_person"), "accounts", ["person"])
    op.create_table(
        "link_codes",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("expires", time(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_link_codes")),
        sa.UniqueConstraint("account", name=op.f("uq_link_codes_account")),
    )


def create_audit() -> None:
    op.create_table(
        "audit",
        sa.Column("id", number(), autoincrement=True, nullable=False),
        sa.Column("at", time(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("details", json()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_subject", "audit", ["subject"])


def create_blocked() -> None:
    op.create_table(
        "blocked_words",
        sa.Column("phrase", sa.Text(), nullable=False),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.Column("added", time(), nullable=False),
        sa.PrimaryKeyConstraint("phrase", name=op.f("pk_blocked_words")),
    )
    op.create_table(
        "blocked_pictures",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("added_by", sa.Text(), nullable=False),
        sa.Column("added", time(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_blocked_pictures")),
    )


def create_chores() -> None:
    op.create_table(
        "chores_done",
        sa.Column("chore", sa.Text(), nullable=False),
        sa.Column("period", sa.Text(), nullable=False),
        sa.Column("begun", time(), nullable=False),
        sa.PrimaryKeyConstraint("chore", "period", name=op.f("pk_chores_done")),
    )
    op.create_table(
        "scheduled_prompts",
        sa.Column("id", number(), autoincrement=True, nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("cron", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text(), server_default=sa.text("'UTC'"), nullable=False),
        sa.Column("request", json(), nullable=False),
        sa.Column("reply_to", json()),
        sa.Column("created", time(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.ForeignKeyConstraint(["person"], ["persons.key"], name=op.f("fk_scheduled_prompts_person_persons")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scheduled_prompts")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_scheduled_prompts_person"), "scheduled_prompts", ["person"])


def create_steps() -> None:
    op.create_table(
        "steps",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("event", json(), nullable=False),
        sa.Column("preview", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_steps")),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE steps SET UNLOGGED")  # worth nothing after a crash, and written many times a second


def downgrade() -> None:
    for table in (
        "steps", "scheduled_prompts", "chores_done", "blocked_pictures", "blocked_words", "audit", "link_codes",
        "accounts",
    ):  # fmt: skip
        op.drop_table(table)
    for index in ("ix_jobs_favourites", "ix_jobs_lease", "ix_jobs_address_queued", "ix_jobs_guild_queued"):
        op.drop_index(index, "jobs")
    for column in reversed(of_jobs()):
        op.drop_column("jobs", column.name)
    for column in reversed(of_persons()):
        op.drop_column("persons", column.name)
