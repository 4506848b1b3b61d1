"""The audit trail: what was done with power over others, or with one's own data for good. Written, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, or_, select

from calotype.ledger.rows import now
from calotype.ledger.tables import audit


@dataclass(frozen=True)
class Entry:
    """One act: who did what to whom or what, and when."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    details: Mapping[str, Any] | None = None


def note(connection: Connection, actor: str, action: str, subject: str, **details: Any) -> None:
    """Writes an act down, in the transaction that does it: there is never one without the other.

    ``actor`` and ``subject`` are keys or ids; ``details`` hold no prompt, code or address.
    """
    connection.execute(
        insert(audit).values(at=now(), actor=actor, action=action, subject=subject, details=details or None)
    )


def entries(connection: Connection, subject: str | None, limit: int, before: int | None = None) -> list[Entry]:
    """Newest first; ``subject``: only what that person or thing did or had done to it.

    ``before`` is the id of the last one seen.
    """
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    if subject is not None:
        query = query.where(or_(audit.c.subject == subject, audit.c.actor == subject))
    if before is not None:
        query = query.where(audit.c.id < before)
    return [Entry(**row) for row in connection.execute(query).mappings()]
