"""The data folder: where things lie in it, who owns it, and what is written down once for good."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from calotype.errors import SetupError

if TYPE_CHECKING:
    from calotype.config import Settings


@dataclass(frozen=True)
class ServerAddress:
    """How to reach the process that owns the home. The token makes its bearer the operator."""

    url: str
    token: str


class Home:
    """``CALOTYPE_HOME``. One process owns it at a time; others talk to that process.

    Where several processes share a PostgreSQL database, a worker or a bot may use it beside its owner.
    """

    def __init__(self, folder: Path, images: Path | None = None) -> None:
        """``images`` is the folder of the pictures, where that is not in the home: several processes may share it."""
        self.folder = folder.expanduser().absolute()
        self._images = None if images is None else images.expanduser().absolute()
        self._lock = FileLock(self.folder / "owner.lock", thread_local=False)

    @classmethod
    def of(cls, settings: Settings) -> Home:
        """Where these settings say."""
        return cls(settings.home, settings.images)

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the SQLite file."""
        return f"sqlite:///{self.folder / 'calotype.db'}"

    @property
    def images(self) -> Path:
        """Folder of the image store."""
        return self._images or self.folder / "images"

    @property
    def blocked_words(self) -> Path:
        """The operator's list of what prompts may not hold."""
        return self.folder / "blocked_words.txt"

    @property
    def backups(self) -> Path:
        """Folder of copies of the database, made before it is upgraded."""
        return self.folder / "backups"

    @property
    def _server_file(self) -> Path:
        return self.folder / "server.json"

    @property
    def _engine_file(self) -> Path:
        return self.folder / "engine.json"

    def enter(self) -> None:
        """Make the folder and check that it can be written. Raises :class:`SetupError`."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe = self.folder / f".write-{os.getpid()}-{secrets.token_hex(4)}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise SetupError(
                f"CALOTYPE_HOME: {self.folder} cannot be written ({error.strerror}); "
                "make it writable or set CALOTYPE_HOME to another folder"
            ) from None

    def acquire(self) -> bool:
        """Enter it, and own it. False if another process owns it."""
        self.enter()
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        self._server_file.unlink(missing_ok=True)  # a server that was killed leaves its dead address behind
        return True

    def release(self) -> None:
        """Give the folder up. The address of a server is withdrawn with it."""
        if self._lock.is_locked:
            self._server_file.unlink(missing_ok=True)
            self._lock.release()

    def announce(self, url: str) -> ServerAddress:
        """Write down where this process, the owner, is reached. Readable by the owner's account only."""
        address = ServerAddress(url, secrets.token_urlsafe(32))
        temporary = self._server_file.with_suffix(".tmp")
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump({"url": address.url, "token": address.token}, file)
        temporary.replace(self._server_file)
        return address

    def server(self) -> ServerAddress | None:
        """Where the owner is reached; None while it has not announced itself."""
        try:
            found = json.loads(self._server_file.read_text("utf-8"))
            return ServerAddress(found["url"], found["token"])
        except (OSError, ValueError, KeyError):
            return None

    @property
    def loras(self) -> Path:
        """Folder of the operator's LoRA files."""
        return self.folder / "loras"

    @property
    def model_list(self) -> Path:
        """What is written down of the models that were added."""
        return self.folder / "models.json"

    def secret(self) -> bytes:
        """Random bytes, written down once: what cookies are signed and addresses digested with."""
        path = self.folder / "secret.key"
        if not path.exists():
            own = path.with_name(f".secret-{secrets.token_hex(4)}")
            with os.fdopen(os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(32))
            with suppress(FileExistsError):  # another process was faster: its secret holds
                os.link(own, path)
            own.unlink()
        found = path.read_text("ascii").strip()
        if len(found) < 64:
            raise SetupError(f"{path}: is not what was written; remove it, then visitors get new cookies")
        return bytes.fromhex(found)

    def threads(self, wanted: int | None) -> int:
        """CPU threads of a model call: ``wanted``, else what is written down, else a choice that is written down.

        Another number of threads may give other bits, so it must not change by itself. One core is left to the
        front ends. From three threads on, fewer row counts agree bit for bit, so pictures share fewer calls.
        """
        threads = wanted if wanted is not None else self.written_threads()
        if threads is None:
            threads = default_threads()
            self._engine_file.write_text(json.dumps({"threads": threads}) + "\n", "utf-8")
        return threads

    def written_threads(self) -> int | None:
        """What is written down, if anything is yet. Writes nothing. Raises :class:`SetupError`."""
        try:
            return int(json.loads(self._engine_file.read_text("utf-8"))["threads"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError):
            path = self._engine_file
            raise SetupError(f'{path}: is not readable; write {{"threads": 1}} into it or remove it') from None


def default_threads() -> int:
    """Threads of a model call where nobody said otherwise."""
    return min(2, max(1, cores() - 1))


def cores() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
