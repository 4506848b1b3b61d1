"""What an operator has blocked: words, and pictures by their hash. Each change and its audit row are one transaction.

Also how a job ends of whose pictures some were refused: recorded and audited at once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select, update

from calotype.job import Picture
from calotype.ledger import audit, ending, removed
from calotype.ledger.database import Database
from calotype.ledger.rows import now, put
from calotype.ledger.tables import blocked_pictures, blocked_words, pictures


@dataclass(frozen=True)
class BlockedWord:
    """A word or phrase that was added while the service ran."""

    phrase: str
    added_by: str
    added: datetime


@dataclass(frozen=True)
class BlockedPicture:
    """A picture by its perceptual hash, 16 hex digits."""

    hash: str
    reason: str
    added_by: str
    added: datetime


@dataclass(frozen=True)
class Refused:
    """Something that was refused: who asked for it, and for the operator why."""

    actor: str
    action: str
    """``refuse_prompt``, ``refuse_picture`` or ``refuse_upload``."""
    subject: str
    """The job, or the person where there is none."""
    details: Mapping[str, Any]


class Blocked:
    """The operator's lists, and the audit. All of it may be called from any thread; each method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def words(self) -> list[BlockedWord]:
        """Words that were added, in order of the alphabet."""
        return self._database.read(_words)

    def block_word(self, phrase: str, actor: str) -> bool:
        """Adds a word. False if it was there already; then nothing is written."""
        return self._database.write(_block_word, phrase, actor)

    def unblock_word(self, phrase: str, actor: str) -> bool:
        """Takes a word out. False if it was not there."""
        return self._database.write(_unblock_word, phrase, actor)

    def pictures(self) -> list[BlockedPicture]:
        """Pictures that were blocked, newest first."""
        return self._database.read(_pictures)

    def block_picture(self, digest: str, reason: str, actor: str, sha256s: Collection[str] = ()) -> int:
        """Adds a hash, or renews its reason, and notes on every picture of these files that it was removed.

        How many pictures of jobs that were. The files themselves are the caller's to delete, afterwards.
        """
        return self._database.write(_block_picture, digest, reason, actor, list(sha256s))

    def unblock_picture(self, digest: str, actor: str) -> bool:
        """Takes a hash out. False if it was not there. What was removed for it stays removed."""
        return self._database.write(_unblock_picture, digest, actor)

    def refused(self, what: Refused) -> None:
        """Writes down that something was refused."""
        self._database.write(_record, [what])

    def finish(
        self,
        job_id: str,
        epoch: int,
        kept: Sequence[Picture],
        record: Mapping[str, Any],
        reason: str,
        refused: Sequence[Refused],
    ) -> bool:
        """Ends a job of which pictures were refused: with the others, or with ``reason`` if there are none.

        False, and nothing written, if the claim is stale.
        """
        return self._database.write(_finish, job_id, epoch, kept, record, reason, refused)

    def audit(self, *, subject: str | None = None, limit: int = 100, before: int | None = None) -> list[audit.Entry]:
        """What was done, newest first; ``before`` is the id of the last one seen."""
        return self._database.read(audit.entries, subject, limit, before)


def _words(connection: Connection) -> list[BlockedWord]:
    query = select(blocked_words).order_by(blocked_words.c.phrase)
    return [BlockedWord(**row) for row in connection.execute(query).mappings()]


def _block_word(connection: Connection, phrase: str, actor: str) -> bool:
    known = connection.scalar(select(blocked_words.c.phrase).where(blocked_words.c.phrase == phrase))
    if known is not None:
        return False
    put(connection, blocked_words, {"phrase": phrase}, {"added_by": actor, "added": now()})
    audit.note(connection, actor, "block_word", phrase)
    return True


def _unblock_word(connection: Connection, phrase: str, actor: str) -> bool:
    if not connection.execute(delete(blocked_words).where(blocked_words.c.phrase == phrase)).rowcount:
        return False
    audit.note(connection, actor, "unblock_word", phrase)
    return True


def _pictures(connection: Connection) -> list[BlockedPicture]:
    query = select(blocked_pictures).order_by(blocked_pictures.c.added.desc(), blocked_pictures.c.hash)
    return [BlockedPicture(**row) for row in connection.execute(query).mappings()]


def _block_picture(connection: Connection, digest: str, reason: str, actor: str, sha256s: Sequence[str]) -> int:
    put(connection, blocked_pictures, {"hash": digest}, {"reason": reason, "added_by": actor, "added": now()})
    found = connection.execute(
        select(pictures.c.job_id, pictures.c.index, pictures.c.notes).where(pictures.c.sha256.in_(sha256s))
    ).all()
    for row in found:
        if removed.REMOVED not in row.notes:
            mine = (pictures.c.job_id == row.job_id) & (pictures.c.index == row.index)
            connection.execute(update(pictures).where(mine).values(notes=[*row.notes, removed.REMOVED]))
    removed.note(connection, sha256s, reason)
    details = {"reason": reason, "files": list(sha256s), "jobs": sorted({row.job_id for row in found})}
    audit.note(connection, actor, "block_picture", digest, **details)
    return len(found)


def _unblock_picture(connection: Connection, digest: str, actor: str) -> bool:
    if not connection.execute(delete(blocked_pictures).where(blocked_pictures.c.hash == digest)).rowcount:
        return False
    audit.note(connection, actor, "unblock_picture", digest)
    return True


def _record(connection: Connection, refused: Sequence[Refused]) -> None:
    for each in refused:
        audit.note(connection, each.actor, each.action, each.subject, **each.details)


def _finish(
    connection: Connection,
    job_id: str,
    epoch: int,
    kept: Sequence[Picture],
    record: Mapping[str, Any],
    reason: str,
    refused: Sequence[Refused],
) -> bool:
    if kept:
        ended = ending.finish(connection, job_id, epoch, kept, record)
    else:
        ended = ending.fail(connection, job_id, epoch, reason, record, free=False)
    if ended:
        _record(connection, refused)
    return ended
