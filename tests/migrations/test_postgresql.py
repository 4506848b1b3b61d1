"""Migrations on a real PostgreSQL: populated older schemas, several upgrades at once, refusals, failures.

The old rows are those of the fixtures in ``schemas``: upgraded to that revision by alembic, then filled with them.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import JSON, DateTime, Engine, MetaData, create_engine, func, insert, select, text

from calotype.errors import DatabaseError
from calotype.job import JobStatus
from calotype.ledger import Ledger, migrate, upgrade
from calotype.ledger.database import open_engine
from calotype.ledger.tables import metadata
from calotype.person import Person
from calotype.request import Request
from databases import PostgresServer
from old_schemas import alembic, load, make

RELEASED = sorted((Path(__file__).parent / "schemas").glob("*.sql"))
UPGRADE = "import sys; from calotype.ledger import open_ledger; open_ledger(sys.argv[1], None).counts()"


@pytest.fixture
def engine(server_url: str) -> Engine:
    return open_engine(server_url)


def query(url: str, sql: str) -> list[Any]:
    engine = open_engine(url)
    with engine.begin() as connection:
        result = connection.execute(text(sql))
        rows = [tuple(row) for row in result] if result.returns_rows else []
    engine.dispose()
    return rows


def populate(url: str, dump: Path, folder: Path) -> None:
    """An old database on the server: the schema by alembic, the rows of the fixture."""
    alembic(url, "upgrade", dump.stem)
    load(dump, folder / "old.db")
    old, new = create_engine(f"sqlite:///{folder / 'old.db'}"), open_engine(url)
    before, after = MetaData(), MetaData()
    before.reflect(old)
    after.reflect(new)
    with old.connect() as source, new.begin() as target:
        theirs = before.tables.keys() - {"job_words"}  # each database has it in its own form
        for table in (each for each in after.sorted_tables if each.name in theirs):
            target.execute(table.delete())
            for row in source.execute(select(before.tables[table.name])).mappings():
                for column in table.columns:
                    if isinstance(column.type, JSON):
                        column.type.none_as_null = True
                values = {
                    name: value.replace(tzinfo=UTC) if isinstance(table.c[name].type, DateTime) and value else value
                    for name, value in row.items()
                    if name in table.c
                }
                target.execute(insert(table).values(values))
            key = next(iter(table.primary_key), None)
            if key is not None and "nextval" in str(getattr(key.server_default, "arg", "")):
                highest = target.scalar(select(func.max(key))) or 1
                given = {"t": table.name, "c": key.name, "n": highest}
                target.execute(text("SELECT setval(pg_get_serial_sequence(:t, :c), :n)"), given)
    old.dispose()
    new.dispose()


@pytest.fixture(params=RELEASED, ids=lambda dump: dump.stem)
def old_url(request: pytest.FixtureRequest, server_url: str, tmp_path: Path) -> str:
    populate(server_url, request.param, tmp_path)
    return server_url


@pytest.fixture
def first_url(server_url: str, tmp_path: Path) -> str:
    populate(server_url, RELEASED[0], tmp_path)
    return server_url


def test_old_rows_come_through(old_url: str) -> None:
    upgrade(old_url, None)
    with closing(Ledger(old_url)) as ledger:
        assert set(ledger.counts().values()) == {1, 3}
        finished, failed, running, cancelled, *queued = ledger.history(None)[::-1]
        assert [picture.seed for picture in finished.pictures] == [7, 8]
        assert finished.created == datetime(2026, 11, 23, 9, 0, 3, 250000, UTC)
        assert finished.record["versions"] == {"torch": "2.13.0"}
        assert failed.error == "out of memory"
        assert cancelled.status is JobStatus.CANCELLED
        assert [delivery.job.id for delivery in ledger.deliveries("web")] == [finished.id]
        assert ledger.recover() == ([running.id], [])
        assert {job.id for job in ledger.claim(9)} == {running.id, *(job.id for job in queued)}
        assert ledger.submit(Person("web:new"), Request(prompt="x"), cost=1.0).id  # numbers go on


def test_down_and_up_again_keeps_old_rows(first_url: str) -> None:
    people = query(first_url, "SELECT key, name, vtime FROM persons ORDER BY key")
    for command in (["upgrade", "head"], ["downgrade", "0001"], ["upgrade", "head"]):
        alembic(first_url, *command)
    assert query(first_url, "SELECT key, name, vtime FROM persons ORDER BY key") == people
    assert query(first_url, "SELECT count(*) FROM jobs") == [(7,)]
    alembic(first_url, "check")


@pytest.mark.parametrize("populated", [False, True])
def test_six_upgrades_at_once(server_url: str, tmp_path: Path, populated: bool) -> None:
    """One works, the others wait."""
    if populated:
        populate(server_url, RELEASED[0], tmp_path)
    started = [
        subprocess.Popen([sys.executable, "-c", UPGRADE, server_url], stderr=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    for process in started:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert migrate.current(server_url) == migrate.head()
    assert query(server_url, "SELECT count(*) FROM alembic_version") == [(1,)]
    assert query(server_url, "SELECT count(*) FROM jobs") == [(7 if populated else 0,)]


def test_a_start_without_an_upgrade_does_not_import_alembic(server_url: str) -> None:
    upgrade(server_url, None)
    program = f"{UPGRADE}; sys.exit('alembic' in sys.modules)"
    subprocess.run([sys.executable, "-c", program, server_url], check=True)


def test_what_was_blocked_before_is_known_as_removed(server_url: str, tmp_path: Path) -> None:
    populate(server_url, Path(__file__).parent / "schemas" / "0005.sql", tmp_path)
    query(
        server_url,
        "INSERT INTO audit (at, actor, action, subject, details) VALUES "
        "('2026-11-24 09:00+00', 'operator', 'block_picture', '0', "
        '\'{"reason": "no", "files": ["aa", "bb"]}\'), '
        "('2026-11-25 09:00+00', 'operator', 'block_picture', '01', '{\"reason\": \"\", \"files\": [\"bb\"]}'), "
        "('2026-11-25 09:00+00', 'operator', 'unblock_picture', '01', NULL)",
    )
    upgrade(server_url, None)
    assert query(server_url, "SELECT sha256, removed, reason FROM removed_pictures ORDER BY sha256") == [
        ("aa", datetime(2026, 11, 24, 9, tzinfo=UTC), "no"),
        ("bb", datetime(2026, 11, 25, 9, tzinfo=UTC), ""),
    ]


def described(url: str) -> set[tuple[str, str, str]]:
    """Every column, constraint and index, as the server writes it."""
    rows = query(
        url,
        "SELECT 'column', table_name || '.' || column_name, concat_ws(' ', data_type, is_nullable, column_default) "
        "FROM information_schema.columns WHERE table_schema = current_schema() "
        "UNION ALL SELECT 'constraint', conname, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE connamespace = current_schema()::regnamespace AND contype <> 'n' "
        "UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema()",
    )
    return {(kind, name, told) for kind, name, told in rows if "alembic_version" not in name + told}


def test_migrations_make_exactly_the_tables(postgres: PostgresServer) -> None:
    """Down to CHECK constraints and conditions of indexes, which `alembic check` does not compare."""
    migrated, created = postgres.empty(), postgres.empty()
    upgrade(migrated, None)
    engine = open_engine(created)
    metadata.create_all(engine)
    engine.dispose()
    assert described(migrated) == described(created)


def refused(url: str, words: str) -> None:
    before = described(url)
    with pytest.raises(DatabaseError, match=words) as caught:
        upgrade(url, None)
    assert "\n" not in str(caught.value)
    assert described(url) == before


def test_a_newer_database_is_refused(first_url: str) -> None:
    query(first_url, "UPDATE alembic_version SET version_num = '0099'")
    refused(first_url, r"newer version.*0099.*install that version")
    assert query(first_url, "SELECT version_num FROM alembic_version") == [("0099",)]


def test_another_programs_database_is_refused(server_url: str) -> None:
    query(server_url, "CREATE TABLE songs (title TEXT)")
    refused(server_url, "another program")


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ('op.execute("SELECT nonsense")', "nonsense"),
        ("op.execute(\"UPDATE jobs SET person = 'nobody', key = NULL\")", "violates foreign key"),
    ],
)
def test_an_upgrade_that_fails_changes_nothing(
    first_url: str, next_version: Callable[..., Path], fault: str, words: str
) -> None:
    before = query(first_url, "SELECT * FROM jobs ORDER BY seq")
    next_version(fault)
    refused(first_url, words)
    assert migrate.current(first_url) == "0001"
    assert query(first_url, "SELECT * FROM jobs ORDER BY seq") == before


def test_an_older_database_is_upgraded(first_url: str, next_version: Callable[..., Path]) -> None:
    next_version()
    upgrade(first_url, None)
    assert migrate.current(first_url) == migrate.head() != "0001"
    assert query(first_url, "SELECT DISTINCT tier FROM jobs") == [("none",)]
    assert query(first_url, "SELECT count(*) FROM pictures") == [(2,)]


def test_an_upgrade_that_never_ends_is_named(server_url: str, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT", 0.2)
    with engine.begin() as other:
        migrate.postgresql.lock_for_upgrade(other, 1.0)
        with pytest.raises(DatabaseError, match="another process has been upgrading it"):
            upgrade(server_url, None)
    engine.dispose()


def test_the_fixture_of_todays_schema_could_be_made(tmp_path: Path, postgres: PostgresServer) -> None:
    """What old_schemas.py will write at the next release: populated, and fit for PostgreSQL."""
    dump = tmp_path / f"{migrate.head()}.sql"
    dump.write_text(make(migrate.head()), "utf-8")
    url = postgres.empty()
    populate(url, dump, tmp_path)
    assert query(url, "SELECT count(*) FROM jobs") == [(7,)]
    assert query(url, "SELECT person FROM accounts") == [("web:ann",)]
    upgrade(url, None)
