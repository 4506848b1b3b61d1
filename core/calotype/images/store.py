"""Image store: finished pictures as PNG files named by their content.

``ab/abcdef….png``, where the name is the SHA-256 of the file. A file appears whole or not at all: it is written under
another name in the same folder, synced, and renamed. No database: which files are still wanted the ledger knows.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from calotype.errors import SetupError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_NAME: Final = re.compile(r"[0-9a-f]{64}")
_PART: Final = ".part"


class Stored(NamedTuple):
    """A file of the store. ``modified`` (UTC) is when it was last put."""

    sha256: str
    modified: datetime


def name_of(data: bytes) -> str:
    """The name of a file in the store: the SHA-256 of its bytes in lower-case hex."""
    return hashlib.sha256(data).hexdigest()


class Checked(NamedTuple):
    """A file of the store that was read and compared with its name."""

    sha256: str
    size: int
    problem: str | None
    """What is wrong with it, if anything is."""


class ImageStore:
    """A folder of pictures. Safe from several threads; except on Windows, from several processes as well."""

    def __init__(self, folder: Path, *, create: bool = True) -> None:
        """Creates the folder if need be; with ``create`` False it is only looked into. Raises :class:`SetupError`."""
        self.folder = folder
        self._lock = threading.Lock()
        self._synced: set[Path] = set()
        if create and not folder.is_dir():
            with self._explained():
                folder.mkdir(parents=True, exist_ok=True)
                _sync(folder.parent)

    def put(self, data: bytes) -> str:
        """Stores the bytes of a PNG file and returns their SHA-256; on disk for good when this returns.

        Raises :class:`SetupError` if the disk is full or read-only; then nothing was stored.
        """
        sha256 = name_of(data)
        target = self._file(sha256)
        with self._explained():
            if not self._renewed(target, data):
                self._make_folder(target.parent)
                _write(target, data)
        return sha256

    def path(self, sha256: str) -> Path:
        """The file. Raises KeyError if there is none, or if this is no SHA-256 in lower-case hex."""
        if not _NAME.fullmatch(sha256):
            raise KeyError(sha256)
        file = self._file(sha256)
        if not file.is_file():
            raise KeyError(sha256)
        return file

    def has(self, sha256: str) -> bool:
        """Whether there is such a file."""
        return _NAME.fullmatch(sha256) is not None and self._file(sha256).is_file()

    def get(self, sha256: str) -> bytes:
        """The bytes of the file. Raises KeyError as :meth:`path` does."""
        try:
            return self.path(sha256).read_bytes()
        except FileNotFoundError:  # deleted in between
            raise KeyError(sha256) from None

    def delete(self, sha256: str, *, unless_put_since: datetime | None = None) -> bool:
        """Deletes the file, unless it was put (again) at that time or later. Whether it went."""
        if not _NAME.fullmatch(sha256):
            return False
        file = self._file(sha256)
        with self._explained(), self._changing():
            try:
                if unless_put_since is not None and _modified(file) >= unless_put_since:
                    return False
                file.unlink()
            except FileNotFoundError:
                return False
        return True

    def identity(self) -> str:
        """The same for every process that uses this very folder, also under another path. Written down once.

        Raises :class:`SetupError`.
        """
        file = self.folder / "store.id"
        with self._explained():
            if not file.exists():
                own = file.with_name(f".{secrets.token_hex(8)}.id")
                own.write_text(secrets.token_hex(16), "ascii")
                with suppress(FileExistsError):  # another process was faster
                    os.link(own, file)
                own.unlink()
            return file.read_text("ascii").strip()

    def __iter__(self) -> Iterator[Stored]:
        """Every stored file, in no particular order. Those that come or go meanwhile may be missed."""
        for file in self.folder.glob("??/*.png"):
            if _NAME.fullmatch(file.stem):
                with suppress(FileNotFoundError):
                    yield Stored(file.stem, _modified(file))

    def sweep(self, written_before: datetime) -> int:
        """Removes what a killed process left half-written, if last written before that time. How many files."""
        removed = 0
        with self._explained():
            for file in self.folder.glob(f"??/*{_PART}"):
                with suppress(FileNotFoundError):  # its writer has just renamed it
                    if _modified(file) < written_before:
                        file.unlink()
                        removed += 1
        return removed

    def _file(self, sha256: str) -> Path:
        return self.folder / sha256[:2] / f"{sha256}.png"

    def verify(self, sha256s: Iterable[str] | None = None) -> Iterator[Checked]:
        """Reads files and compares them with their names: of all the store (None), or of those, gone ones included.

        Takes as long as reading them does. One that is deleted meanwhile is passed over, unless it was asked for.
        """
        for sha256 in (stored.sha256 for stored in self) if sha256s is None else sha256s:
            try:
                data = self.get(sha256)
            except KeyError:
                if sha256s is not None:
                    yield Checked(sha256, 0, "its file is missing")
            except OSError as error:
                yield Checked(sha256, 0, f"it cannot be read: {error.strerror}")
            else:
                whole = name_of(data) == sha256
                yield Checked(sha256, len(data), None if whole else "its content is not what was stored")

    def _renewed(self, file: Path, data: bytes) -> bool:
        """Whether the file is there already, and whole; then it counts as put now, so that no sweep takes it."""
        with self._changing():
            try:
                if file.read_bytes() != data:  # damaged, or somebody tampered with it: write it anew
                    return False
                os.utime(file)
            except FileNotFoundError:
                return False
        _sync(file.parent)  # whoever renamed it may not have come so far yet
        return True

    def _make_folder(self, folder: Path) -> None:
        """Its name is on disk for good, whichever thread or process made it."""
        if folder not in self._synced or not folder.is_dir():
            folder.mkdir(exist_ok=True)
            _sync(folder.parent)
            self._synced.add(folder)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Putting a file again and sweeping it away as an orphan must not cross each other, in whatever process."""
        with self._lock:
            if fcntl is None:
                yield
                return
            handle = os.open(self.folder, os.O_RDONLY)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX)
                yield
            finally:
                os.close(handle)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            advice = "make the folder writable for this user"
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                advice = "free some disk space"
            raise SetupError(f"image store: {self.folder}: {error.strerror or error}; {advice}") from error


def _modified(file: Path) -> datetime:
    return datetime.fromtimestamp(file.stat().st_mtime, UTC)


def _write(target: Path, data: bytes) -> None:
    """Writes beside the target, syncs, renames: whoever looks sees nothing or all of it."""
    part = target.with_name(f"{target.stem[:16]}-{secrets.token_hex(8)}{_PART}")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    _sync(target.parent)


def _sync(folder: Path) -> None:
    """The names in the folder survive a power cut from now on. Windows has nothing of the kind, nor a need."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
