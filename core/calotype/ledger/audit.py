"""The audit: what was done with power over others, or with one's own data for good. Written once, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from calotype.ledger.rows import now
from calotype.ledger.tables import audit


@dataclass(frozen=True)
class Entry:
    """One thing that was done."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    details: Mapping[str, Any]


def record(
    connection: Connection, actor: str, action: str, subject: str, details: Mapping[str, Any] | None = None
) -> None:
    """Writes down that ``actor`` (a person's key) did ``action`` to ``subject``, in the caller's transaction."""
    row = {"at": now(), "actor": actor, "action": action, "subject": subject}
    connection.execute(insert(audit).values(**row, details=None if details is None else dict(details)))


def entries(
    connection: Connection, *, subject: str | None = None, limit: int = 100, before: int | None = None
) -> list[Entry]:
    """Newest first; ``before`` is the id of the last one seen."""
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    if subject is not None:
        query = query.where(audit.c.subject == subject)
    if before is not None:
        query = query.where(audit.c.id < before)
    return [Entry(**{**row, "details": row["details"] or {}}) for row in connection.execute(query).mappings()]
