from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from calotype.ledger import migrate
from calotype.ledger.database import open_engine

NEXT = '''"""A migration that is still to come: rebuilds a table that others refer to."""
import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"


def upgrade() -> None:
    with op.batch_alter_table("jobs", recreate="always") as table:
        table.add_column(sa.Column("tier", sa.Text(), server_default="none", nullable=False))
    {more}
'''


@pytest.fixture
def alembic_config() -> dict[str, Any]:
    return {"script_location": str(migrate.migrations())}


@pytest.fixture
def alembic_engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_engine(f"sqlite:///{tmp_path / 'alembic.db'}", foreign_keys=False)
    yield engine
    engine.dispose()


@pytest.fixture
def next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes this program one version newer: it knows one more migration, which ends in the given line."""

    def make(more: str = "pass") -> Path:
        folder = tmp_path / "migrations"
        shutil.copytree(migrate.migrations(), folder, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        before = migrate.head()
        revision = f"{int(before) + 1:04}"
        text = NEXT.format(revision=revision, before=before, more=more)
        (folder / "versions" / f"{revision}_tier.py").write_text(text)
        monkeypatch.setattr(migrate, "migrations", lambda: folder)
        return folder

    return make
