"""Pictures that an operator removed are written down as such; scheduled prompts know their Discord server."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def json() -> sa.types.TypeEngine[Any]:
    return sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


def time() -> sa.types.TypeEngine[Any]:
    return sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("scheduled_prompts", sa.Column("guild", sa.Text()))
    removed = op.create_table(
        "removed_pictures",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("removed", time(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_removed_pictures")),
    )
    if rows := list(removed_before().values()):
        op.bulk_insert(removed, rows)


def removed_before() -> Mapping[str, dict[str, Any]]:
    """What was blocked until now: the audit names the files. Of one that was blocked twice the later time."""
    audit = sa.table(
        "audit",
        sa.column("id", sa.BigInteger()),
        sa.column("at", time()),
        sa.column("action", sa.Text()),
        sa.column("details", json()),
    )
    query = sa.select(audit.c.at, audit.c.details).where(audit.c.action == "block_picture").order_by(audit.c.id)
    found = {}
    for at, details in op.get_bind().execute(query):
        for sha256 in (details or {}).get("files", ()):
            found[sha256] = {"sha256": sha256, "removed": at, "reason": details.get("reason", "")}
    return found


def downgrade() -> None:
    op.drop_table("removed_pictures")
    op.drop_column("scheduled_prompts", "guild")
