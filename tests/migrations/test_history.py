"""The history of the schema: linear, reversible, equal to the tables, and the released revisions as they were."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from pytest_alembic.tests import (  # noqa: F401  (they are tests: pytest runs them here)
    test_model_definitions_match_ddl,
    test_single_head_revision,
    test_up_down_consistency,
    test_upgrade,
)
from sqlalchemy import insert

from calotype.job import JobStatus
from calotype.ledger import Ledger, migrate, upgrade
from calotype.ledger.database import open_engine
from calotype.ledger.tables import clock, metadata
from calotype.person import Person

REPOSITORY = Path(__file__).parents[2]
BLOCKED = """
INSERT INTO audit (id, at, actor, action, subject, details) VALUES
(101, '2026-11-24 09:00:00', 'operator', 'block_picture', '00', '{"reason": "unwanted", "files": ["aa", "bb"]}'),
(102, '2026-11-25 09:00:00', 'operator', 'block_picture', '01', '{"reason": "", "files": ["bb"], "jobs": []}'),
(103, '2026-11-25 09:00:01', 'operator', 'block_picture', '02', '{"reason": "", "files": [], "jobs": []}'),
(104, '2026-11-25 09:00:02', 'operator', 'unblock_picture', '01', NULL);
"""
"""What an operator blocked before pictures that were removed had a table."""
RELEASED = sorted((Path(__file__).parent / "schemas").glob("*.sql"))


def schema(file: Path) -> dict[str, set[str]]:
    """Every table and index with the set of its parts, whatever their order, lines and white space.

    ADD COLUMN writes a column behind the constraints, on the line of the last one.
    """
    with closing(sqlite3.connect(file)) as connection:
        found = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {
        name: {re.sub(r"[\s()\"]+", " ", part).strip() for part in re.split(r"[,\n]", sql)} - {""}
        for name, sql in found
        if name not in {"alembic_version", "sqlite_sequence", "sqlite_stat1"}
    }


def test_a_file_begins_with_its_revision_and_counts_up() -> None:
    files = sorted((migrate.migrations() / "versions").glob("*.py"))
    before = None
    for number, file in enumerate(files, start=1):
        content = file.read_text()
        assert file.name.startswith(f"{number:04}_")
        assert f'revision: str = "{number:04}"' in content
        assert f"down_revision: str | None = {before}" in content
        before = f'"{number:04}"'
    assert migrate.head() == f"{len(files):04}"


def test_migrations_make_exactly_the_tables(tmp_path: Path) -> None:
    """Down to CHECK constraints and conditions of indexes, which `alembic check` does not compare."""
    upgrade(f"sqlite:///{tmp_path / 'migrated.db'}", None)
    engine = open_engine(f"sqlite:///{tmp_path / 'created.db'}")
    metadata.create_all(engine)
    engine.dispose()
    assert schema(tmp_path / "migrated.db") == schema(tmp_path / "created.db")


def test_the_clock_is_there(tmp_path: Path) -> None:
    upgrade(f"sqlite:///{tmp_path / 'x.db'}", None)
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        assert connection.execute("SELECT * FROM clock").fetchall() == [(1, 0.0)]


def test_there_is_one_clock(tmp_path: Path) -> None:
    upgrade(f"sqlite:///{tmp_path / 'x.db'}", None)
    engine = open_engine(f"sqlite:///{tmp_path / 'x.db'}")
    with pytest.raises(Exception, match="ck_clock_one_row"), engine.begin() as connection:
        connection.execute(insert(clock).values(id=2, vtime=0.0))
    engine.dispose()


def test_alembic_on_the_command_line(tmp_path: Path) -> None:
    """`alembic check` as a developer calls it: configured by pyproject.toml alone."""
    for command in (["upgrade", "head"], ["check"], ["downgrade", "base"]):
        alembic = [sys.executable, "-m", "alembic", "-x", f"url=sqlite:///{tmp_path / 'x.db'}", *command]
        done = subprocess.run(alembic, cwd=REPOSITORY, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert schema(tmp_path / "x.db") == {}


@pytest.mark.parametrize("dump", RELEASED, ids=lambda dump: dump.stem)
def test_a_released_schema_is_never_changed(dump: Path, tmp_path: Path) -> None:
    """Whoever edits a migration that is out in the world finds out here."""
    released, migrated = tmp_path / "released.db", tmp_path / "migrated.db"
    with closing(sqlite3.connect(released)) as connection:
        connection.executescript(dump.read_text())
    alembic = [sys.executable, "-m", "alembic", "-x", f"url=sqlite:///{migrated}", "upgrade", dump.stem]
    subprocess.run(alembic, cwd=REPOSITORY, check=True, capture_output=True)
    assert schema(released) == schema(migrated)


@pytest.mark.parametrize("dump", RELEASED, ids=lambda dump: dump.stem)
def test_old_rows_come_through(dump: Path, tmp_path: Path) -> None:
    file = tmp_path / "old.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(dump.read_text())
    upgrade(f"sqlite:///{file}", tmp_path / "backups")
    with closing(Ledger(f"sqlite:///{file}")) as ledger:
        assert set(ledger.counts().values()) == {1, 3}
        finished, failed, running, cancelled, *queued = ledger.history(None)[::-1]
        assert [picture.seed for picture in finished.pictures] == [7, 8]
        assert finished.record["versions"] == {"torch": "2.13.0"}
        assert failed.error == "out of memory"
        assert cancelled.status is JobStatus.CANCELLED
        assert [delivery.job.id for delivery in ledger.deliveries("web")] == [finished.id]
        assert ledger.recover() == ([running.id], [])
        assert {job.id for job in ledger.claim(9)} == {running.id, *(job.id for job in queued)}


def test_down_and_up_again_keeps_the_pictures_that_jobs_start_from_and_their_masks(tmp_path: Path) -> None:
    file = tmp_path / "x.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript((Path(__file__).parent / "schemas" / "0003.sql").read_text())
    for command in (["downgrade", "0001"], ["upgrade", "head"]):
        alembic = [sys.executable, "-m", "alembic", "-x", f"url=sqlite:///{file}", *command]
        subprocess.run(alembic, cwd=REPOSITORY, check=True, capture_output=True)
    with closing(Ledger(f"sqlite:///{file}")) as ledger:
        picture, mask, other = (f"{number:064}" for number in (3, 4, 5))
        request = ledger.history("api:cy")[0].request
        assert (request.init_image, request.strength, request.mask) == (picture, 0.6, mask)
        assert ledger.unreferenced([picture, mask, other]) == {other}
        for sha256 in (picture, mask):
            assert ledger.may_use(Person("api:cy"), sha256)
            assert not ledger.may_use(Person("web:ann"), sha256)


def test_what_was_blocked_before_is_known_as_removed(tmp_path: Path) -> None:
    file = tmp_path / "x.db"
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript((Path(__file__).parent / "schemas" / "0005.sql").read_text())
        connection.executescript(BLOCKED)
    upgrade(f"sqlite:///{file}", None)
    with closing(sqlite3.connect(file)) as connection:
        found = connection.execute("SELECT sha256, removed, reason FROM removed_pictures ORDER BY sha256").fetchall()
    assert found == [
        ("aa", "2026-11-24 09:00:00.000000", "unwanted"),
        ("bb", "2026-11-25 09:00:00.000000", ""),
    ]


def test_in_an_installed_package_the_migrations_are_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "calotype"
    monkeypatch.setattr(migrate, "__file__", str(package / "ledger" / "migrate.py"))
    with pytest.raises(Exception, match="install calotype again"):
        migrate.migrations()
    shutil.copytree(REPOSITORY / "migrations", package / "migrations")
    assert migrate.migrations() == package / "migrations"
