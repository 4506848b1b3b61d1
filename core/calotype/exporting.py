"""Export: a person's history as a zip of pictures and one JSON file, written piece by piece.

``history.json`` holds every job as the HTTP API shows it, with the names of its pictures' files in the zip, and what is
known about the person; ``pictures/`` what was made, ``uploads/`` what they brought. Nothing of it is held in memory but
a page of jobs.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from calotype.errors import SetupError
from calotype.job import Job, as_json

if TYPE_CHECKING:
    from calotype.images.store import ImageStore
    from calotype.ledger import Ledger

FORMAT: Final = 1
"""Of ``history.json``."""
_PAGE: Final = 200
_SLUG_LIMIT: Final = 40
_EARLIEST: Final = datetime(1980, 1, 1, tzinfo=UTC)
"""A zip knows no time before."""


@dataclass
class Exported:
    """What went into the zip."""

    jobs: int = 0
    pictures: int = 0
    uploads: int = 0
    missing: list[str] = field(default_factory=list)
    """Names of files that should have been there and are not in the store any more."""
    removed: list[str] = field(default_factory=list)
    """Names of files that the operator removed."""


def export(ledger: Ledger, store: ImageStore, person: str | None, file: Path) -> Exported:
    """Writes the zip: a person's (a key), or everybody's (None). Whole or not at all.

    Raises :class:`SetupError` if it cannot be written, :class:`DatabaseError`.
    """
    beside = file.with_name(f".{file.name[:60]}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            with zipfile.ZipFile(beside, "w", zipfile.ZIP_STORED) as archive:
                done = _Export(ledger, store, person, archive).run()
            beside.replace(file)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise SetupError(f"output: {str(file)!r} cannot be written: {error.strerror or error}") from None
    return done


class _Export:
    def __init__(self, ledger: Ledger, store: ImageStore, person: str | None, archive: zipfile.ZipFile) -> None:
        self._ledger, self._store, self._person, self._zip = ledger, store, person, archive
        self._done = Exported()
        self._brought: set[str] = set()

    def run(self) -> Exported:
        # a zip is written one file after the other: the text waits beside it until all pictures are in
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="surrogatepass") as text:
            text.write(f'{{"format": {FORMAT}, "exported": "{datetime.now(UTC).isoformat()}",\n"person": ')
            known = {} if self._person is None else dict(self._ledger.archive.known(self._person))
            text.write(json.dumps({"key": self._person, **known}, indent=1, default=str))
            text.write(',\n"jobs": [')
            for job in self._jobs():
                text.write("\n" if self._done.jobs == 0 else ",\n")
                text.write(json.dumps(self._with_files(job), ensure_ascii=True))
                self._done.jobs += 1
            for upload in known.get("uploads", ()):
                self._bring(upload["sha256"])
            text.write("],\n" + f'"missing": {json.dumps(self._done.missing)},\n')
            text.write(f'"removed_by_operator": {json.dumps(self._done.removed)}' + "}\n")
            text.seek(0)
            with self._zip.open(_info("history.json", datetime.now(UTC), deflated=True), "w", force_zip64=True) as into:
                for line in text:
                    into.write(line.encode("utf-8"))
        return self._done

    def _jobs(self) -> Iterator[Job]:
        before = None
        while page := self._ledger.history(self._person, limit=_PAGE, before=before):
            yield from page
            before = page[-1].id

    def _with_files(self, job: Job) -> dict[str, Any]:
        found = {**as_json(job), "person": job.person}
        for picture in found["pictures"]:
            name = f"pictures/{picture_name(job, picture['index'])}"
            picture["file"] = name if self._put(name, picture["sha256"], job.finished or job.created) else None
            self._done.pictures += picture["file"] is not None
        for role in ("init_image", "mask"):
            sha256 = found["request"].get(role)
            if sha256 is not None:
                found[f"{role}_file"] = self._bring(sha256)
        return found

    def _bring(self, sha256: str) -> str | None:
        """A picture that a job starts from, or may: once, however many do."""
        name = f"uploads/{sha256}.png"
        if sha256 in self._brought:
            return name
        if not self._put(name, sha256, datetime.now(UTC)):
            return None
        self._brought.add(sha256)
        self._done.uploads += 1
        return name

    def _put(self, name: str, sha256: str, at: datetime) -> bool:
        """Copies a file of the store into the zip. False if it is not kept any more."""
        try:
            source = self._store.path(sha256).open("rb")
        except (KeyError, FileNotFoundError):
            removed = sha256 in self._ledger.archive.removed([sha256])
            (self._done.removed if removed else self._done.missing).append(name)
            return False
        with source, self._zip.open(_info(name, at), "w", force_zip64=True) as into:
            shutil.copyfileobj(source, into)
        return True


def picture_name(job: Job, index: int) -> str:
    """When it was made, what it shows, which job's: letters, digits and hyphens, good on every file system."""
    words = re.sub(r"[^a-z0-9]+", "-", job.request.prompt.lower())[:_SLUG_LIMIT].strip("-") or "picture"
    tail = re.sub(r"[^0-9a-zA-Z]", "", job.id)[-20:]
    return f"{job.created:%Y%m%d-%H%M%S}-{words}-{tail}-{index + 1}.png"


def _info(name: str, at: datetime, *, deflated: bool = False) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, max(at, _EARLIEST).timetuple()[:6])
    info.compress_type = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED  # a PNG does not get smaller
    info.external_attr = 0o600 << 16
    return info
