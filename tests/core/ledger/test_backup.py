"""Backup and restore: whole or not at all, from either database into either, and of an older schema."""

from __future__ import annotations

import json
import os
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from calotype.errors import DatabaseError
from calotype.job import Picture
from calotype.ledger import Ledger, migrate
from calotype.ledger.backup import back_up
from calotype.ledger.check import check
from calotype.ledger.database import Database, open_engine
from calotype.ledger.restore import restore
from calotype.ledger.search import Filters
from calotype.ledger.tables import metadata
from calotype.person import Person
from calotype.request import Request
from databases import PostgresServer
from old_schemas import load, make

SCHEMAS = Path(__file__).parents[2] / "migrations" / "schemas"
REQUEST = Request(prompt="blåe cat ☃", seed=2**53 - 1)


class NoFiles:
    def has(self, sha256: str) -> bool:
        return True

    def names(self) -> Iterator[str]:
        return iter(())


@pytest.fixture(scope="session")
def todays_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dump of today's schema with something in every table."""
    dump = tmp_path_factory.mktemp("today") / "today.sql"
    dump.write_text(make(migrate.head()), "utf-8")
    return dump


@pytest.fixture
def full(todays_rows: Path, tmp_path: Path) -> str:
    load(todays_rows, tmp_path / "full.db")
    return f"sqlite:///{tmp_path / 'full.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.empty()


def content(url: str) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table, as the program reads it."""
    with closing(Database(url)) as database:
        return {
            table.name: database.read(
                lambda c, table=table: [
                    dict(r) for r in c.execute(select(table).order_by(*table.primary_key)).mappings()
                ]
            )
            for table in metadata.sorted_tables
            if table.name not in {"steps", "job_words"}  # the one is not kept, the other made anew
        }


def back(url: str, file: Path, **how: Any) -> Any:
    return restore(url, file, **{"replace": False, "backup_dir": file.parent / "backups", **how})


def test_every_row_goes_from_one_database_into_the_other_and_back(full: str, empty_url: str, tmp_path: Path) -> None:
    before = content(full)
    assert all(before.values()), [name for name, rows in before.items() if not rows]
    back_up(full, tmp_path / "a.zip")
    assert content(full) == before
    assert back(empty_url, tmp_path / "a.zip").kept is None
    assert content(empty_url) == before
    back_up(empty_url, tmp_path / "b.zip")
    again = f"sqlite:///{tmp_path / 'again.db'}"
    back(again, tmp_path / "b.zip")
    assert content(again) == before
    assert [finding for finding in check(empty_url, NoFiles()) if finding.ok is False] == []


def test_work_goes_on_after_a_restore(full: str, empty_url: str, tmp_path: Path) -> None:
    back_up(full, tmp_path / "a.zip")
    back(empty_url, tmp_path / "a.zip")
    with closing(Ledger(empty_url)) as ledger:
        ledger.recover()
        new = ledger.submit(Person("web:new"), REQUEST, cost=1.0, reply_to={"front_end": "web"})
        claimed = ledger.claim(99)
        assert new.id in {job.id for job in claimed}
        for job in claimed:
            assert ledger.finish(job.id, job.epoch, [Picture(0, 7, "ab" * 32, 64, 64)], {})
        assert new.id in {delivery.job.id for delivery in ledger.deliveries("web")}


def test_a_number_is_not_given_out_again(url: str, empty_url: str, tmp_path: Path) -> None:
    with closing(Ledger(url)) as ledger:
        for _ in range(3):
            job = ledger.submit(Person("a"), REQUEST, cost=1.0)
            ledger.cancel(job.id)
            ledger.erase(job.id)
        ledger.submit(Person("a"), REQUEST, cost=1.0)
        highest = ledger._database.read(lambda c: c.scalar(text("SELECT max(seq) FROM jobs")))
        ledger.cancel(last := ledger.history(None)[0].id)
        ledger.erase(last)
    back_up(url, tmp_path / "a.zip")
    back(empty_url, tmp_path / "a.zip")
    with closing(Ledger(empty_url)) as ledger:
        ledger.submit(Person("a"), REQUEST, cost=1.0)
        assert ledger._database.read(lambda c: c.scalar(text("SELECT max(seq) FROM jobs"))) > highest


def test_what_comes_back_is_found_again(full: str, empty_url: str, tmp_path: Path) -> None:
    back_up(full, tmp_path / "a.zip")
    back(empty_url, tmp_path / "a.zip")
    with closing(Ledger(full)) as before, closing(Ledger(empty_url)) as after:
        for words in ("", "blue", "blur", '"blue cat"', "nothing"):
            found = [job.id for job in after.archive.search(words, Filters())]
            assert found == [job.id for job in before.archive.search(words, Filters())]
            assert bool(found) == (words != "nothing")


def test_a_database_without_rows(url: str, empty_url: str, tmp_path: Path) -> None:
    back_up(url, tmp_path / "a.zip")
    back(empty_url, tmp_path / "a.zip")
    with closing(Ledger(empty_url)) as ledger:
        ledger.submit(Person("a"), REQUEST, cost=1.0)
        assert len(ledger.claim(9)) == 1


@pytest.mark.parametrize("dump", sorted(SCHEMAS.glob("*.sql")), ids=lambda dump: dump.stem)
def test_a_backup_of_an_older_schema_is_upgraded(dump: Path, empty_url: str, tmp_path: Path) -> None:
    load(dump, tmp_path / "old.db")
    back_up(f"sqlite:///{tmp_path / 'old.db'}", tmp_path / "a.zip")
    assert migrate.current(f"sqlite:///{tmp_path / 'old.db'}") == dump.stem
    assert back(empty_url, tmp_path / "a.zip").manifest.schema == dump.stem
    assert migrate.current(empty_url) == migrate.head()
    with closing(Ledger(empty_url)) as ledger:
        assert len(ledger.history(None)) == 7


def test_a_backup_is_one_moment_while_others_write(url: str, tmp_path: Path) -> None:
    """Counters and rows are changed together; in a backup they always agree."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            ledger.submit(Person("a"), REQUEST, cost=1.0)
            for job in ledger.claim():
                ledger.finish(job.id, job.epoch, [], {})
            ledger.submit(Person("b"), REQUEST, cost=1.0)

    with closing(Ledger(url)) as ledger:
        thread = threading.Thread(target=work)
        thread.start()
        try:
            for number in range(4):
                back_up(url, tmp_path / f"{number}.zip")
        finally:
            stop.set()
            thread.join()
    for number in range(4):
        copy = f"sqlite:///{tmp_path / f'{number}.db'}"
        back(copy, tmp_path / f"{number}.zip")
        assert [finding for finding in check(copy, NoFiles()) if finding.ok is False] == []


def test_what_is_there_is_replaced_only_if_told_to_and_kept(url: str, full: str, tmp_path: Path) -> None:
    back_up(full, tmp_path / "a.zip")
    with closing(Ledger(url)) as ledger:
        ledger.submit(Person("a"), REQUEST, cost=1.0)
    before = content(url)
    with pytest.raises(DatabaseError, match="--force replaces"):
        back(url, tmp_path / "a.zip")
    assert content(url) == before
    kept = back(url, tmp_path / "a.zip", replace=True).kept
    assert content(url) == content(full)
    back(url, kept, replace=True)
    assert content(url) == before


def test_nothing_is_restored_under_a_service_on_postgresql(postgres: PostgresServer, full: str, tmp_path: Path) -> None:
    """On SQLite the home's lock says so."""
    back_up(full, tmp_path / "a.zip")
    url = postgres.ready()
    with closing(Ledger(url)) as ledger:
        ledger.counts()
        with pytest.raises(DatabaseError, match="service works on it"):
            back(url, tmp_path / "a.zip")
    back(url, tmp_path / "a.zip")


def broken(file: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """The same backup with other content."""
    with zipfile.ZipFile(file) as found:
        parts = {name: found.read(name) for name in found.namelist()}
    change(parts)
    with zipfile.ZipFile(file, "w") as out:
        for name, data in parts.items():
            out.writestr(name, data)


def manifest(**values: Any) -> Callable[[dict[str, bytes]], None]:
    def change(parts: dict[str, bytes]) -> None:
        parts["manifest.json"] = json.dumps({**json.loads(parts["manifest.json"]), **values}).encode()

    return change


def put(name: str, data: bytes) -> Callable[[dict[str, bytes]], None]:
    return lambda parts: parts.__setitem__(name, data)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (manifest(schema="0099"), r"newer version.*0099"),
        (manifest(format="something"), "none of calotype"),
        (manifest(rows=[]), "none of calotype"),
        (manifest(rows={"jobs": "many"}), "none of calotype"),
        (manifest(surprise=1), "none of calotype"),
        (lambda parts: parts.pop("manifest.json"), "none of calotype"),
        (lambda parts: parts.pop("jobs.jsonl"), "none of calotype"),
        (put("manifest.json", b"[]"), "none of calotype"),
        (put("jobs.jsonl", b""), "jobs has 0 rows of 7"),
        (put("persons.jsonl", b"{}\n{}\n{}\n"), "other columns"),
        (put("clock.jsonl", b"[1, 2]\n"), "none of calotype"),
        (put("clock.jsonl", b"{\n"), "none of calotype"),
        (
            lambda parts: put("pictures.jsonl", parts["pictures.jsonl"].replace(b"01a207a2", b"nosuch00"))(parts),
            "to nothing|not fit",
        ),
        (lambda parts: put("jobs.jsonl", parts["jobs.jsonl"].replace(b"2026-11-23T", b"yesterday "))(parts), "created"),
    ],
)
def test_what_is_no_whole_backup_is_refused(
    full: str, empty_url: str, tmp_path: Path, change: Callable[[dict[str, bytes]], None], words: str
) -> None:
    file = tmp_path / "a.zip"
    back_up(full, file)
    broken(file, change)
    with pytest.raises(DatabaseError, match=words) as caught:
        back(empty_url, file)
    assert "\n" not in str(caught.value)
    assert migrate.current(empty_url) is None  # nothing was written
    back_up(full, tmp_path / "b.zip")
    back(empty_url, tmp_path / "b.zip")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_half_a_file_is_refused(full: str, tmp_path: Path, share: float) -> None:
    back_up(full, tmp_path / "a.zip")
    data = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DatabaseError, match="only a part of one"):
        back(f"sqlite:///{tmp_path / 'x.db'}", tmp_path / "a.zip")


def test_a_changed_byte_is_found(full: str, tmp_path: Path) -> None:
    file = tmp_path / "a.zip"
    back_up(full, file)
    with zipfile.ZipFile(file) as found:
        info = found.getinfo("jobs.jsonl")
    data = bytearray(file.read_bytes())
    data[info.header_offset + 30 + len("jobs.jsonl") + info.compress_size // 2] ^= 0xFF
    file.write_bytes(data)
    with pytest.raises(DatabaseError, match="damaged"):
        back(f"sqlite:///{tmp_path / 'x.db'}", file)
    assert not (tmp_path / "x.db").exists()


def test_other_files_and_places_are_refused(full: str, tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(os.urandom(3000))
    for name, words in (("picture.png", "not a backup"), ("missing.zip", "name a file"), (".", "name a file")):
        with pytest.raises(DatabaseError, match=words):
            back(f"sqlite:///{tmp_path / 'x.db'}", tmp_path / name)
    (tmp_path / "there.zip").touch()
    for name, words in (("there.zip", "already"), (".", "is a folder"), ("typo/a.zip", "folder does not exist")):
        with pytest.raises(DatabaseError, match=words):
            back_up(full, tmp_path / name)
    with pytest.raises(DatabaseError, match="nothing to back up"):
        back_up(f"sqlite:///{tmp_path / 'none.db'}", tmp_path / "n.zip")
    assert not list(tmp_path.glob(".*partial"))


def test_a_full_disk_leaves_no_half_backup(full: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(DatabaseError, match="free some disk space"):
        back_up(full, tmp_path / "a.zip")
    assert not list(tmp_path.glob("*a.zip*"))


def test_a_backup_is_readable_for_its_owner_only(full: str, tmp_path: Path) -> None:
    back_up(full, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").stat().st_mode & 0o077 == 0


def test_what_a_check_finds(full: str, tmp_path: Path) -> None:
    def wrong() -> dict[str, str]:
        return {finding.about: finding.told for finding in check(full, Files()) if finding.ok is False}

    missing: set[str] = set()

    class Files:
        def has(self, sha256: str) -> bool:
            return sha256 not in missing

        def names(self) -> Iterator[str]:
            return iter([f"{1:064}", "f" * 64])

    def change(sql: str) -> None:
        engine = open_engine(full, foreign_keys=False)
        with engine.begin() as connection:
            connection.execute(text(sql))
        engine.dispose()

    assert wrong() == {}
    assert {each.told for each in check(full, Files()) if each.about == "orphans"} == {
        "1 files that nothing names; a chore removes them"
    }
    missing.update({f"{2:064}", f"{4:064}"})
    assert wrong() == {"pictures": "2 of 4 are missing; bring their files back"}
    change(f"UPDATE removed_pictures SET sha256 = '{2:064}'")
    assert wrong() == {"pictures": "1 of 4 are missing; bring their files back; 1 that the operator removed"}
    missing.remove(f"{4:064}")
    assert wrong() == {}
    told = {each.about: each.told for each in check(full, Files())}
    assert told["pictures"] == "4 named, all there but 1 that the operator removed"
    missing.clear()
    change("UPDATE persons SET queued = queued + 1 WHERE key = 'web:ann'")
    assert list(wrong()) == ["counters"]
    change("UPDATE persons SET queued = queued - 1 WHERE key = 'web:ann'")
    change("DELETE FROM clock")
    change("DELETE FROM jobs WHERE seq = 1")
    assert wrong().keys() == {"clock", "references"}


@pytest.mark.parametrize("revision", ["0001", "0099"])
def test_a_check_of_another_schema(revision: str, tmp_path: Path) -> None:
    load(SCHEMAS / "0001.sql", tmp_path / "old.db")
    url = f"sqlite:///{tmp_path / 'old.db'}"
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE alembic_version SET version_num = '{revision}'"))
    engine.dispose()
    (wrong,) = [finding for finding in check(url, NoFiles()) if finding.ok is False]
    assert wrong.about == "schema"
    assert ("db upgrade" in wrong.told) == (revision == "0001")


def test_a_check_of_what_cannot_be_reached(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"hello")
    for url, words in (
        (f"sqlite:///{tmp_path / 'x.db'}", "not a SQLite database"),
        (f"sqlite:///{tmp_path / 'y.db'}", "db upgrade"),
        ("postgresql://me:secret@127.0.0.1:1/x", "see whether the server runs"),
    ):
        (finding,) = check(url, NoFiles())
        assert finding.ok is False
        assert words in finding.told
        assert "secret" not in finding.told
