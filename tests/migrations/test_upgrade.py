"""Upgrading at the start: what is done, what is refused, and that a refusal writes nothing."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from calotype.errors import DatabaseError
from calotype.ledger import Ledger, migrate, upgrade
from calotype.person import Person
from calotype.request import Request
from unprivileged import ordinary_user, reachable_folder

SCHEMAS = Path(__file__).parent / "schemas"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder / "calotype.db"


@pytest.fixture
def reachable() -> Iterator[Path]:
    with reachable_folder() as folder:
        yield folder


def query(file: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(file)) as connection, connection:
        return connection.execute(sql).fetchall()


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refused(file: Path, words: str) -> None:
    """One line, and not a byte was changed."""
    before = content(file.parent)
    with pytest.raises(DatabaseError, match=words) as caught:
        upgrade(f"sqlite:///{file}", file.parent / "backups")
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)
    assert content(file.parent) == before


def test_creates_and_then_has_nothing_to_do(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{file}"
    assert migrate.current(url) is None
    assert not file.exists()
    upgrade(url, file.parent / "backups")
    assert migrate.current(url) == migrate.head()
    assert query(file, "PRAGMA journal_mode") == [("wal",)]
    assert not (file.parent / "backups").exists()
    before = content(file.parent)
    monkeypatch.setattr(migrate, "_upgrade", None)
    upgrade(url, file.parent / "backups")
    assert content(file.parent) == before


def test_an_empty_file_is_a_new_database(file: Path) -> None:
    file.touch()
    upgrade(f"sqlite:///{file}", None)
    assert migrate.current(f"sqlite:///{file}") == migrate.head()


def test_a_start_without_an_upgrade_does_not_import_alembic(file: Path) -> None:
    upgrade(f"sqlite:///{file}", None)
    program = (
        "import sys; from calotype.ledger import open_ledger; open_ledger(sys.argv[1], None).counts(); "
        "sys.exit('alembic' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, f"sqlite:///{file}"], check=True)


def old_database(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript((SCHEMAS / "0001.sql").read_text())


def test_an_older_database_is_backed_up_and_upgraded(file: Path, next_version: Callable[..., Path]) -> None:
    old_database(file)
    next_version()
    upgrade(f"sqlite:///{file}", file.parent / "backups")
    assert migrate.current(f"sqlite:///{file}") == migrate.head() != "0001"
    assert query(file, "SELECT DISTINCT tier FROM jobs") == [("none",)]
    assert query(file, "SELECT count(*) FROM pictures") == [(2,)]  # the rebuild took no children along
    (backup,) = (file.parent / "backups").iterdir()
    assert backup.name.startswith("calotype-0001-")
    assert backup.suffix == ".db"
    assert migrate.current(f"sqlite:///{backup}") == "0001"
    assert query(backup, "SELECT count(*) FROM jobs") == [(7,)]


def test_no_backup_unless_asked_for(file: Path, next_version: Callable[..., Path]) -> None:
    old_database(file)
    next_version()
    upgrade(f"sqlite:///{file}", None)
    assert {path.name for path in file.parent.iterdir()} <= {file.name, f"{file.name}.upgrade.lock"}


def test_what_a_backup_holds_of_the_write_ahead_log(file: Path, next_version: Callable[..., Path]) -> None:
    """Copying the file alone would miss what a killed process left in the log."""
    upgrade(f"sqlite:///{file}", None)
    program = (
        "import sys, os, signal; from calotype.ledger import Ledger; from calotype.person import Person; "
        "from calotype.request import Request; "
        "Ledger(sys.argv[1]).submit(Person('a'), Request(prompt='x'), cost=1.0); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", program, f"sqlite:///{file}"], check=False)
    assert Path(f"{file}-wal").stat().st_size > 0
    next_version()
    upgrade(f"sqlite:///{file}", file.parent / "backups")
    (backup,) = (file.parent / "backups").iterdir()
    assert query(backup, "SELECT person FROM jobs") == [("a",)]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ('op.execute("SELECT nonsense")', "no such column"),
        ("op.execute(\"UPDATE jobs SET person = 'nobody', key = NULL\")", "refer to nothing"),
    ],
)
def test_an_upgrade_that_fails_changes_nothing(
    file: Path, next_version: Callable[..., Path], fault: str, words: str
) -> None:
    old_database(file)
    next_version(fault)
    with pytest.raises(DatabaseError, match=words) as caught:
        upgrade(f"sqlite:///{file}", file.parent / "backups")
    assert "\n" not in str(caught.value)
    assert query(file, "SELECT version_num FROM alembic_version") == [("0001",)]
    assert "tier" not in query(file, "SELECT sql FROM sqlite_master WHERE name = 'jobs'")[0][0]
    assert query(file, "SELECT DISTINCT person FROM jobs ORDER BY 1") == [("api:cy",), ("discord:2",), ("web:ann",)]


def test_a_newer_database_is_refused(file: Path) -> None:
    old_database(file)
    query(file, "UPDATE alembic_version SET version_num = '0099'")
    refused(file, "newer version.*0099.*install that version")


@pytest.mark.parametrize("garbage", [b"hello", os.urandom(5000), b"\x89PNG\r\n\x1a\n" * 100])
def test_what_is_no_database_is_refused(file: Path, garbage: bytes) -> None:
    file.write_bytes(garbage)
    refused(file, "not a SQLite database")


def test_a_truncated_database_is_refused(file: Path) -> None:
    old_database(file)
    file.write_bytes(file.read_bytes()[:8192])
    refused(file, "damaged")


def test_a_header_and_then_garbage_is_refused(file: Path) -> None:
    file.write_bytes(b"SQLite format 3\x00" + os.urandom(9000))
    refused(file, "damaged|malformed")


def test_a_damaged_page_is_found_before_an_upgrade(file: Path, next_version: Callable[..., Path]) -> None:
    old_database(file)
    data = bytearray(file.read_bytes())
    page = data.index(b"blue cat") // 4096 * 4096
    data[page : page + 64] = bytes(64)
    file.write_bytes(data)
    next_version()
    with pytest.raises(DatabaseError, match="damaged"):
        upgrade(f"sqlite:///{file}", file.parent / "backups")
    assert file.read_bytes() == data
    assert not (file.parent / "backups").exists()


def test_another_programs_database_is_refused(file: Path) -> None:
    query(file, "CREATE TABLE songs (title TEXT)")
    refused(file, "another program")


def test_a_folder_is_refused(file: Path) -> None:
    file.mkdir()
    with pytest.raises(DatabaseError):
        upgrade(f"sqlite:///{file}", None)


def test_a_missing_folder_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="does not exist"):
        upgrade(f"sqlite:///{tmp_path / 'typo' / 'calotype.db'}", None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder_too", [False, True])
@pytest.mark.parametrize("wal", [False, True])
def test_a_read_only_database_is_refused(reachable: Path, folder_too: bool, wal: bool) -> None:
    file = reachable / "calotype.db"
    if wal:
        upgrade(f"sqlite:///{file}", None)
    else:
        old_database(file)
    file.chmod(0o444)
    reachable.chmod(0o555 if folder_too else 0o777)
    with ordinary_user():
        refused(file, "writable")


def test_an_unreadable_database_is_refused(reachable: Path) -> None:
    file = reachable / "calotype.db"
    old_database(file)
    file.chmod(0)
    with ordinary_user(), pytest.raises(DatabaseError, match="readable"):
        upgrade(f"sqlite:///{file}", None)


def test_a_folder_that_may_not_be_written_is_refused(reachable: Path) -> None:
    reachable.chmod(0o555)
    with ordinary_user(), pytest.raises(DatabaseError, match="writable"):
        upgrade(f"sqlite:///{reachable / 'calotype.db'}", None)
    assert list(reachable.iterdir()) == []


def test_four_processes_at_once(file: Path) -> None:
    program = "import sys; from calotype.ledger import open_ledger; open_ledger(sys.argv[1], None).counts()"
    started = [
        subprocess.Popen([sys.executable, "-c", program, f"sqlite:///{file}"], stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in started:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    with closing(Ledger(f"sqlite:///{file}")) as ledger:
        ledger.submit(Person("web:a"), Request(prompt="x"), cost=1.0)


def test_an_upgrade_that_never_ends_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT", 0.05)
    with FileLock(f"{file}.upgrade.lock"), pytest.raises(DatabaseError, match="another process"):
        upgrade(f"sqlite:///{file}", None)


def test_a_full_disk_at_the_backup_leaves_all_as_it_was(
    file: Path, next_version: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    old_database(file)
    next_version()
    backups = file.parent / "backups"

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(DatabaseError, match="free some disk space"):
        upgrade(f"sqlite:///{file}", backups)
    assert list(backups.iterdir()) == []
    assert migrate.current(f"sqlite:///{file}") == "0001"
    shutil.rmtree(backups)
