"""Masks of pictures that jobs start from."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "masks",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_masks_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_masks")),
    )
    op.create_index(op.f("ix_masks_sha256"), "masks", ["sha256"])
    remember_masks()


def remember_masks() -> None:
    """After a downgrade jobs with a mask are still there, and their masks must be kept."""
    jobs = sa.table("jobs", sa.column("id", sa.Text()), sa.column("request", sa.JSON()))
    masks = sa.table("masks", sa.column("job_id", sa.Text()), sa.column("sha256", sa.Text()))
    mask = jobs.c.request["mask"].as_string()
    op.execute(masks.insert().from_select(["job_id", "sha256"], sa.select(jobs.c.id, mask).where(mask.is_not(None))))


def downgrade() -> None:
    op.drop_table("masks")
