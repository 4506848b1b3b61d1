"""Pictures whose files an operator removed on purpose. Rows that name them stay; nobody is to take them for lost."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from sqlalchemy import Connection, select

from calotype.ledger.rows import now, put
from calotype.ledger.tables import removed_pictures

REMOVED: Final = "it was removed by the operator"
"""The note of a picture that was blocked after it was made."""


def note(connection: Connection, sha256s: Sequence[str], reason: str) -> None:
    """Their files go now. Of one that went before, time and reason are renewed."""
    for sha256 in sha256s:
        put(connection, removed_pictures, {"sha256": sha256}, {"removed": now(), "reason": reason})


def among(connection: Connection, sha256s: Collection[str]) -> set[str]:
    """Which of these (few) were removed. A file may be there again: whoever asks has looked."""
    query = select(removed_pictures.c.sha256).where(removed_pictures.c.sha256.in_(sha256s))
    return set(connection.scalars(query))
