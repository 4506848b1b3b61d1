from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from calotype.ledger import migrate
from calotype.ledger.database import open_engine
from databases import PostgresServer, postgres_server

NEXT = '''"""A migration that is still to come: rebuilds a table that others refer to."""
import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"


def upgrade() -> None:
    recreate = "always" if op.get_bind().dialect.name == "sqlite" else "never"
    with op.batch_alter_table("jobs", recreate=recreate) as table:
        table.add_column(sa.Column("tier", sa.Text(), server_default="none", nullable=False))
    {more}
'''


@pytest.fixture
def alembic_config() -> dict[str, Any]:
    return {"script_location": str(migrate.migrations())}


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture
def server_url(postgres: PostgresServer) -> str:
    """An empty database on a real server."""
    return postgres.empty()


@pytest.fixture(params=["sqlite", "postgresql"])
def alembic_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """Where pytest-alembic's tests run: upgrade from empty, `alembic check`, up and down and up again."""
    file = f"sqlite:///{tmp_path / 'alembic.db'}"
    url = file if request.param == "sqlite" else request.getfixturevalue("server_url")
    engine = open_engine(url, foreign_keys=False)
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
