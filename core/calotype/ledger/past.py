"""Archive: the ledger's past as its people use it. Searched, kept, traced back, taken along, erased.

Attached to the :class:`~calotype.ledger.ledger.Ledger`; every method is one transaction, like the ledger's own, and
raises :class:`calotype.errors.DatabaseError` if the database cannot be read or written.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from calotype.job import Job
from calotype.ledger import erasing, family, removed, retention, search
from calotype.ledger.database import Database
from calotype.ledger.erasing import Erased
from calotype.ledger.search import Filters
from calotype.roles import Limits


class Archive:
    """What was, in one database. Of any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def search(self, words: str, filters: Filters, *, limit: int = 50, before: str | None = None) -> list[Job]:
        """Jobs whose prompts hold all these words, newest first; ``before`` is the last id of the page before.

        The last word may be unfinished, quoted ones stand in their order. Raises :class:`BadRequest` if it is too long.
        """
        return self._database.read(search.search, words, filters, limit, before)

    def favour(self, job_id: str, favourite: bool, allowed: Limits | None = None) -> Job | None:
        """Keeps a job from every retention, or not any more. The job as it now stands; None if it is unknown.

        Raises :class:`LimitReached` if its person has as many favourites as ``allowed``; None is no limit.
        """
        return self._database.write(family.favour, job_id, favourite, allowed)

    def children(self, job_id: str, person_key: str | None, *, limit: int = 50) -> list[Job]:
        """Variations of a job, oldest first; of that person only, or everybody's (None)."""
        return self._database.read(family.children, job_id, person_key, limit)

    def origin(self, sha256: str, person_key: str) -> str | None:
        """Id of the person's newest job that made this picture; None if none did."""
        return self._database.read(family.origin, sha256, person_key)

    # -- a person's own ----------------------------------------------------------------------------------------

    def known(self, person_key: str) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """What is written down about a person beside their jobs, by table."""
        return self._database.read(erasing.known, person_key)

    def keys(self, account: str) -> list[str]:
        """Key of the account's person, and those of all their accounts."""
        return self._database.read(erasing.keys, account)

    def is_known(self, account: str) -> bool:
        """Whether there is a person, an upload or a code of that account."""
        return self._database.read(erasing.is_known, account)

    def unfinished(self, person_key: str) -> list[str]:
        """Ids of the person's jobs that are not over."""
        return self._database.read(erasing.unfinished, person_key)

    def erase_some(self, person_key: str, limit: int = 500) -> Erased:
        """Deletes up to so many of the person's jobs that are over; what went with them."""
        return self._database.write(erasing.erase_some, person_key, limit)

    def erase_rest(self, person_key: str, actor: str) -> Erased | None:
        """Deletes all else of the person, and them; None, and nothing changed, if there is a job yet."""
        return self._database.write(erasing.erase_rest, person_key, actor)

    def left(self, person_keys: Sequence[str]) -> dict[str, int]:
        """How many rows of these people or accounts there are, in every table of the ledger."""
        return self._database.read(erasing.left, person_keys)

    def forget_words(self, *, begin: bool = False) -> bool:
        """Takes words of deleted jobs out of the index for good, a bit of it. False if nothing was left to do."""
        return self._database.write(erasing.forget_words, begin)

    # -- files -------------------------------------------------------------------------------------------------

    def busy_since(self) -> datetime | None:
        """When the job began that has been running longest: it may have stored pictures and not recorded them yet."""
        return self._database.read(retention.busy_since)

    def removed(self, sha256s: Collection[str]) -> set[str]:
        """Which of these (few) pictures' files an operator removed on purpose."""
        return self._database.read(removed.among, sha256s)

    def oldest(self, after: int, finished_before: datetime, limit: int = 500) -> list[tuple[int, list[str]]]:
        """Jobs that ended before (aware), oldest first, with the pictures they name; ``after`` this number.

        No favourites, and none whose result is still to be delivered.
        """
        return self._database.read(retention.oldest, after, finished_before, limit)

    def expire(self, numbers: Sequence[int], finished_before: datetime) -> int:
        """Deletes these jobs, as far as :meth:`oldest` would name them now. How many it were."""
        return self._database.write(retention.expire, numbers, finished_before)

    def forget_strangers(self, limit: int = 500) -> int:
        """Deletes people of whom nothing is kept that still matters. How many."""
        return self._database.write(retention.forget_strangers, limit)
