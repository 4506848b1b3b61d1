"""Makes the fixture of a schema that is about to be released: ``python tests/old_schemas.py 0004``.

Takes the newest fixture before it, upgrades that to the revision, runs ``rows/REVISION.sql`` (rows for what is new in
it; times as SQLite keeps them; those of skipped revisions too) and writes ``schemas/REVISION.sql``, both in
``tests/migrations``. From then on tests hold that migration to it, and
every later version must bring its rows through, on SQLite and PostgreSQL. A fixture of a released schema is never
made again.
"""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
HERE = REPOSITORY / "tests" / "migrations"


def load(dump: Path, file: Path) -> None:
    """Runs a fixture on a SQLite file, which is new or at that schema."""
    with closing(sqlite3.connect(file)) as connection:
        connection.executescript(dump.read_text("utf-8"))


def alembic(url: str, *command: str) -> None:
    """As a developer calls it. Raises RuntimeError with what it said."""
    sources = os.pathsep.join(map(str, (REPOSITORY / "core", *filter(None, [os.environ.get("PYTHONPATH")]))))
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "-x", f"url={url}", *command],
        cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": sources}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr)


def make(revision: str) -> str:
    """The fixture's text."""
    before = [dump for dump in sorted((HERE / "schemas").glob("*.sql")) if dump.stem < revision]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.db"
        if before:
            load(before[-1], file)
        for rows in sorted((HERE / "rows").glob("*.sql")):
            if (before[-1].stem if before else "") < rows.stem <= revision:
                alembic(f"sqlite:///{file}", "upgrade", rows.stem)
                load(rows, file)
        alembic(f"sqlite:///{file}", "upgrade", revision)
        with closing(sqlite3.connect(file)) as connection:
            broken = connection.execute("PRAGMA foreign_key_check").fetchall()
            if broken:
                raise RuntimeError(f"rows refer to nothing: {broken}")
            return "\n".join(dumped(connection)) + "\n"


def dumped(connection: sqlite3.Connection) -> Iterator[str]:
    """The database as SQL. Virtual tables are made as they were made at first, and a search index is filled anew:

    as ``iterdump`` writes them, in tables of their own and past the schema, they cannot be read back in one go.
    """
    query = "SELECT name, sql FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL TABLE%' ORDER BY rowid"
    virtual = dict(connection.execute(query).fetchall())
    names = "|".join(map(re.escape, virtual)) or "$"
    theirs = re.compile(rf"PRAGMA writable_schema|INSERT INTO sqlite_master|(CREATE TABLE|INSERT INTO) ['\"]({names})")
    for statement in connection.iterdump():
        if theirs.match(statement):
            continue
        if statement.startswith(("CREATE TRIGGER", "COMMIT")):
            yield from (f"{sql};" for sql in virtual.values())
            yield from (
                f"INSERT INTO {name} ({name}) VALUES ('rebuild');" for name, sql in virtual.items() if "fts5(" in sql
            )
            virtual = {}
        yield statement


def main() -> None:
    """Writes the file, once."""
    (revision,) = sys.argv[1:]
    target = HERE / "schemas" / f"{revision}.sql"
    if target.exists():
        raise SystemExit(f"{target} is there already: a released schema is never changed")
    target.write_text(make(revision), "utf-8")
    print(target)  # noqa: T201


if __name__ == "__main__":
    main()
