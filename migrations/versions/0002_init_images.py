"""Pictures that jobs start from, and uploads."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: Sequence[str] | None = None
depends_on: Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "init_images",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_init_images_job_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_init_images")),
    )
    op.create_index(op.f("ix_init_images_sha256"), "init_images", ["sha256"])
    op.create_table(
        "uploads",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("taken", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("sha256", "person", name=op.f("pk_uploads")),
    )
    op.create_index("ix_uploads_person", "uploads", ["person"])
    op.create_index("ix_uploads_taken", "uploads", ["taken"])
    remember_starts()


def remember_starts() -> None:
    """After a downgrade jobs that start from a picture are still there, and their pictures must be kept."""
    jobs = sa.table("jobs", sa.column("id", sa.Text()), sa.column("request", sa.JSON()))
    init_images = sa.table("init_images", sa.column("job_id", sa.Text()), sa.column("sha256", sa.Text()))
    start = jobs.c.request["init_image"].as_string()
    op.execute(
        init_images.insert().from_select(["job_id", "sha256"], sa.select(jobs.c.id, start).where(start.is_not(None)))
    )


def downgrade() -> None:
    for table in ("uploads", "init_images"):
        op.drop_table(table)
