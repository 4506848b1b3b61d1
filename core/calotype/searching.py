"""A search in the history as plain values, as the HTTP API and the command line send it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from calotype.errors import BadRequest
from calotype.job import Job, JobStatus, as_json
from calotype.ledger.search import Filters

PAGE_LIMIT: Final = 200
"""Jobs in one answer."""
NAME_LIMIT: Final = 1000
"""Characters of a filter."""
KNOWN: Final = ("q", "person", "guild", "model", "sampler", "from", "to", "favourite", "status", "limit", "before")


def check(query: Mapping[str, str]) -> None:
    """Raises :class:`BadRequest` for a name that means nothing here: a filter that is not applied finds too much."""
    for name in query:
        if name not in KNOWN:
            raise BadRequest.of(name[:60], f"is not known here; there are {', '.join(KNOWN)}")


def limit_of(query: Mapping[str, str]) -> int:
    """How many jobs; 50 unless it is said. Raises :class:`BadRequest`."""
    text = query.get("limit", "50")
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= PAGE_LIMIT):
        raise BadRequest.of("limit", f"{text[:20]!r} is not a whole number from 1 to {PAGE_LIMIT}")
    return int(text)


def filters_of(query: Mapping[str, str]) -> Filters:
    """What the search is narrowed down by. Raises :class:`BadRequest` for a value that cannot be."""
    names = {name: query.get(name) for name in ("person", "guild", "model", "sampler")}
    for name, value in names.items():
        if value is not None and (len(value) > NAME_LIMIT or not value.isprintable()):
            raise BadRequest.of(name, f"is not text of at most {NAME_LIMIT} characters")
    favourite = query.get("favourite")
    if favourite is not None and favourite not in ("true", "false"):
        raise BadRequest.of("favourite", f"{favourite[:20]!r} is neither true nor false")
    status = query.get("status")
    if status is not None and status not in set(JobStatus):
        raise BadRequest.of("status", f"{status[:20]!r} is none of {', '.join(JobStatus)}")
    return Filters(
        **names,
        since=_time("from", query.get("from")),
        until=_time("to", query.get("to"), whole_day=True),
        favourite=None if favourite is None else favourite == "true",
        status=None if status is None else JobStatus(status),
    )


def _time(name: str, text: str | None, *, whole_day: bool = False) -> datetime | None:
    """ISO 8601; without a zone UTC. A mere date is its beginning, or with ``whole_day`` its end."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text)
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        if whole_day and len(text) <= len("2026-01-31"):
            found += timedelta(days=1)
        found = found.astimezone(UTC)
        found - timedelta(days=2)  # room for what the search looks at around it
        found + timedelta(days=2)
    except (ValueError, OverflowError):
        raise BadRequest.of(name, f"{text[:40]!r} is no date; write 2026-01-31 or 2026-01-31T18:00:00Z") from None
    return found


def page(found: Sequence[Job], limit: int, *, people: bool) -> dict[str, Any]:
    """An answer of at most ``limit`` jobs; one more was looked for, to know whether there are more."""
    data = [{**as_json(job), **({"person": job.person} if people else {})} for job in found[:limit]]
    return {"object": "list", "data": data, "has_more": len(found) > limit}
