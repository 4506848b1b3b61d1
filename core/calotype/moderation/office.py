"""What an operator does about words and pictures: looks, blocks, unblocks. All of it blocks; call it in a thread."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Collection, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from calotype import texts
from calotype.errors import BadRequest, NotAllowed, UnknownJob
from calotype.ledger.audit import Entry
from calotype.ledger.blocked import BlockedPicture, BlockedWord
from calotype.moderation.hashing import is_hash, perceptual_hash
from calotype.moderation.words import checked_phrase

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.Image import Image

    from calotype.images.store import ImageStore
    from calotype.ledger import Ledger
    from calotype.person import Person

REASON_LIMIT: Final = 300
"""Characters."""
FILES_LIMIT: Final = 8
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class Office:
    """The operator's side of moderation. Every method raises :class:`NotAllowed` for anybody else."""

    def __init__(self, ledger: Ledger, store: ImageStore, changed: Callable[[], None] = lambda: None) -> None:
        """``changed`` is called after each change, so that it holds at once in this process."""
        self._ledger, self._store, self._changed = ledger, store, changed

    def words(self, actor: Person) -> list[BlockedWord]:
        """Words that were added while the service ran; those of the file and the bundled list are not among them."""
        _operators_only(actor)
        return self._ledger.blocked.words()

    def block_word(self, word: str, actor: Person) -> bool:
        """Refuse prompts that hold the word or phrase, from now on. False if it is blocked already.

        Raises :class:`BadRequest` for ``word``.
        """
        _operators_only(actor)
        new = self._ledger.blocked.block_word(checked_phrase(word), actor.key)
        self._changed()
        return new

    def unblock_word(self, word: str, actor: Person) -> str:
        """Allow it again; the form in which it was stored. Raises :class:`BadRequest` if it was not added here."""
        _operators_only(actor)
        phrase = checked_phrase(word)
        if not self._ledger.blocked.unblock_word(phrase, actor.key):
            message = f"{phrase!r} is not among the words that were added; see blocked_words.txt in the data folder"
            raise BadRequest.of("word", message)
        self._changed()
        return phrase

    def pictures(self, actor: Person) -> list[BlockedPicture]:
        """Pictures that were blocked, newest first."""
        _operators_only(actor)
        return self._ledger.blocked.pictures()

    def block_job(self, job_id: str, index: int | None, reason: str, actor: Person) -> list[BlockedPicture]:
        """Block the pictures of a job, or the one of them with that index, and remove their files.

        Raises :class:`UnknownJob`; :class:`BadRequest` if there is none, or their files are gone already.
        """
        _operators_only(actor)
        job = self._ledger.job(job_id) if texts.is_sound(job_id) else None
        if job is None:
            raise UnknownJob(job_id)
        meant = [picture for picture in job.pictures if index in (None, picture.index)]
        if not meant:
            which = "picture" if index is None else f"picture {index}"
            raise BadRequest.of("picture", f"job {job_id} has no {which}; it is {job.status.value}")
        kept = {picture.sha256: None for picture in meant if self._store.has(picture.sha256)}
        if not kept:
            raise BadRequest.of("picture", f"the files of job {job_id} are gone already; block it by a file of it")
        # all of them before any is blocked
        hashes = {sha256: fingerprint(_opened(self._store.get(sha256))) for sha256 in kept}
        return [self.block_picture(digest, [sha256], reason, actor) for sha256, digest in hashes.items()]

    def block_picture(self, digest: str, sha256s: Collection[str], reason: str, actor: Person) -> BlockedPicture:
        """Refuse what looks like it from now on, and remove these very files from the store.

        ``digest`` is its :func:`fingerprint`. Raises :class:`BadRequest` that names what is wrong.
        """
        _operators_only(actor)
        texts.check("reason", reason)
        reason = " ".join(reason.split())
        if not is_hash(digest):
            raise BadRequest.of("hash", "is not 16 digits, 0-9 and a-f: give the file or the job instead")
        if len(sha256s) > FILES_LIMIT or not all(_SHA256.fullmatch(sha256) for sha256 in sha256s):
            raise BadRequest.of("sha256s", f"are not up to {FILES_LIMIT} sha256 of 64 digits, 0-9 and a-f")
        if len(reason) > REASON_LIMIT:
            raise BadRequest.of("reason", f"has {len(reason)} characters; at most {REASON_LIMIT}")
        self._ledger.blocked.block_picture(digest, reason, actor.key, sha256s)
        self._changed()  # before the files go: none of them is stored again
        for sha256 in sha256s:
            self._store.delete(sha256)
        return next(picture for picture in self._ledger.blocked.pictures() if picture.hash == digest)

    def unblock_picture(self, digest: str, actor: Person) -> str:
        """Allow what looks like it again; the hash. What was removed stays removed. Raises :class:`BadRequest`."""
        _operators_only(actor)
        if not is_hash(digest) or not self._ledger.blocked.unblock_picture(digest, actor.key):
            raise BadRequest.of("hash", f"{digest[:40]!r} is not a blocked picture; see calotype moderation pictures")
        self._changed()
        return digest

    def audit(
        self, actor: Person, *, subject: str | None = None, limit: int = 100, before: int | None = None
    ) -> list[Entry]:
        """What was done, newest first; ``before`` is the id of the last one seen. Raises :class:`BadRequest`."""
        _operators_only(actor)
        texts.check("subject", subject)
        return self._ledger.blocked.audit(subject=subject, limit=limit, before=before)


def as_json(thing: BlockedWord | BlockedPicture | Entry) -> dict[str, Any]:
    """As the HTTP API and ``--json`` show it: plain values, times in ISO 8601."""
    shown = asdict(thing)
    if isinstance(thing, Entry):
        shown["details"] = dict(thing.details or {})
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in shown.items()}


def fingerprint(image: Image) -> str:
    """The hash by which a picture is blocked. Raises :class:`BadRequest` if it has none."""
    digest = perceptual_hash(image)
    if digest is None:
        message = "is of one colour, and would be taken for every other such picture; it cannot be blocked by its look"
        raise BadRequest.of("picture", message)
    return digest


def names_of(data: bytes, png: bytes) -> Sequence[str]:
    """Under which names the store may hold a file: its own bytes', and those it would get when it is brought."""
    return list(dict.fromkeys(hashlib.sha256(each).hexdigest() for each in (data, png)))


def _operators_only(actor: Person) -> None:
    if not actor.operator:
        raise NotAllowed("moderation: only the operator may do this")


def _opened(png: bytes) -> Image:
    from PIL.PngImagePlugin import PngImageFile

    return PngImageFile(io.BytesIO(png))
