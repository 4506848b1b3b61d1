"""The file of a backup: one format for both databases, so that a community can move from one to the other.

A zip of ``manifest.json`` and, for each table, ``TABLE.jsonl`` with one JSON object a row: times in ISO 8601 UTC, bytes
in base64, the rest as it is. The manifest names the schema's revision and how many rows there are; it is written last,
so half a file is recognised as such. Pictures are not in it: they are files of the image store.
"""

from __future__ import annotations

import base64
import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

from calotype.errors import DatabaseError

FORMAT: Final = "calotype-backup-1"
_MANIFEST: Final = "manifest.json"
_LONGEST: Final = 64 * 1024 * 1024
"""Bytes of one row at most: more is no backup of ours, and a file must not be able to fill the memory."""


@dataclass(frozen=True)
class Manifest:
    """What a backup says of itself."""

    schema: str
    database: str
    """sqlite or postgresql."""
    made: str
    program: str
    """Version of calotype."""
    rows: Mapping[str, int] = field(default_factory=dict)
    """How many, by table."""
    numbers: Mapping[str, int] = field(default_factory=dict)
    """The last number that a table gave out, where it numbers its rows: none is ever given out twice."""


class Writer:
    """A backup that is being written. Rows of one table after another, then :meth:`finish`."""

    def __init__(self, file: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED)

    def table(self, name: str, rows: Iterable[Mapping[str, Any]]) -> int:
        """Writes a table; how many rows it were. They are never held in memory together."""
        count = 0
        with self._zip.open(f"{name}.jsonl", "w", force_zip64=True) as out:
            for row in rows:
                line = json.dumps({key: _plain(value) for key, value in row.items()}, ensure_ascii=False)
                out.write(line.encode() + b"\n")
                count += 1
        return count

    def finish(self, manifest: Manifest) -> None:
        """The last thing in it."""
        self._zip.writestr(_MANIFEST, json.dumps({"format": FORMAT, **asdict(manifest)}, indent=1))
        self._zip.close()


class Reader:
    """A backup that is there. Raises :class:`DatabaseError` unless all of it can be read."""

    def __init__(self, file: Path, found: zipfile.ZipFile) -> None:
        self._file, self._zip = file, found
        self.manifest = self._manifest()

    def check(self) -> None:
        """Reads all of it once: every byte is as it was written, every row is there."""
        with self._explained():
            damaged = self._zip.testzip()
        if damaged is not None:
            raise DatabaseError(f"backup: {self._file}: {damaged} in it is damaged; take another backup")
        for table, expected in self.manifest.rows.items():
            found = sum(1 for _ in self.rows(table))
            if found != expected:
                raise DatabaseError(
                    f"backup: {self._file}: {table} has {found} rows of {expected}; take another backup"
                )

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        """A table's rows, in the order in which they were written."""
        with self._explained(), self._zip.open(f"{table}.jsonl") as content:
            while line := content.readline(_LONGEST):
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError("a row is no object")
                yield row

    def _manifest(self) -> Manifest:
        with self._explained():
            given = json.loads(self._zip.read(_MANIFEST))
            if given.pop("format", None) != FORMAT:
                raise ValueError("another format")
            manifest = Manifest(**given)
            if not all(isinstance(count, int) for count in (*manifest.rows.values(), *manifest.numbers.values())):
                raise ValueError("a count is no number")
            return manifest

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (KeyError, ValueError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise DatabaseError(
                f"backup: {self._file}: it is damaged, or none of calotype; take one that 'calotype db backup' wrote"
            ) from error
        except OSError as error:
            raise unreadable(self._file, error) from error


@contextmanager
def opened(file: Path) -> Iterator[Reader]:
    """The backup. Raises :class:`DatabaseError` if it is none, or only the first half of one."""
    try:
        found = zipfile.ZipFile(file)
    except zipfile.BadZipFile:
        raise DatabaseError(
            f"backup: {file}: it is not a backup, or only a part of one; take one that 'calotype db backup' wrote"
        ) from None
    except OSError as error:
        raise unreadable(file, error) from None
    with found:
        yield Reader(file, found)


@contextmanager
def written(file: Path) -> Iterator[Writer]:
    """A backup at ``file``: whole, on disk for good, or not there at all. Raises :class:`DatabaseError`."""
    if file.is_dir():
        raise DatabaseError(f"backup: {file}: it is a folder; name a file in it")
    if file.exists():
        raise DatabaseError(f"backup: {file}: it is there already; name another file or move that one away")
    if not file.absolute().parent.is_dir():
        raise DatabaseError(f"backup: {file}: its folder does not exist; create it first or name another")
    partial = file.with_name(f".{file.name[:100]}.{os.getpid()}.partial")
    try:
        partial.touch(mode=0o600, exist_ok=False)  # it holds everybody's prompts
        with partial.open("wb") as out:
            yield Writer(out)
            out.flush()
            os.fsync(out.fileno())
        partial.rename(file)
    except OSError as error:
        advice = "free some disk space" if error.errno in {28, 122} else "see whether this user may write there"
        raise DatabaseError(f"backup: {file}: {error.strerror or error}; {advice}") from error
    finally:
        partial.unlink(missing_ok=True)


def unreadable(file: Path, error: OSError) -> DatabaseError:
    """What to say where the file cannot be read."""
    return DatabaseError(f"backup: {file}: {error.strerror or error}; name a file that is there and that you may read")


def _plain(value: Any) -> Any:
    match value:
        case datetime():
            return (value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)).isoformat()
        case bytes() | memoryview():
            return base64.b64encode(value).decode()
        case _:
            return value
