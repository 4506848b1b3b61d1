"""Cron expressions: five fields, as people know them from crontab, checked with clear messages."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

from calotype.errors import BadRequest

LENGTH: Final = 100
"""Characters of an expression or of a time zone's name."""
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_SHORT: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * sun",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
_HELP: Final = "write five fields: minute hour day month weekday, e.g. '0 9 * * mon' for Mondays at nine"
_WINDOWS: Final = tuple(timedelta(days=days) for days in (1 / 1440, 1 / 24, 1, 32, 366, 5 * 366))


class Times:
    """When something is due. Raises :class:`BadRequest` for what cannot be read or never comes."""

    def __init__(self, cron: str, timezone: str = "UTC") -> None:
        zone = _zone(timezone)
        words = _SHORT.get(cron.strip().lower(), cron).split()
        if len(cron) > LENGTH or len(words) != 5:
            raise BadRequest.of("cron", f"{cron[:40]!r} has {len(words)} fields; {_HELP}")
        minute, hour, day, month, weekday = words
        try:
            self._trigger = CronTrigger(
                minute=minute, hour=hour, day=day, month=month, day_of_week=_weekdays(weekday), timezone=zone
            )
        except (ValueError, KeyError, TypeError) as error:
            raise BadRequest.of("cron", f"{cron[:40]!r} cannot be read: {error}; {_HELP}") from None
        if self.after(datetime.now(UTC)) is None:
            raise BadRequest.of("cron", f"{cron[:40]!r} is no day that ever comes; choose another")

    def after(self, time: datetime) -> datetime | None:
        """The first time after that one (aware), in UTC."""
        found = self._trigger.get_next_fire_time(None, time + timedelta(microseconds=1))
        return None if found is None else found.astimezone(UTC)

    def missed(self, last: datetime, now: datetime) -> datetime | None:
        """The latest time after ``last`` up to ``now``, however many came between; None if none came."""
        first = self.after(last)
        if first is None or first > now:
            return None
        for window in _WINDOWS:  # from the end: an expression for every minute may have been missed for a year
            due = self.after(max(first - timedelta(microseconds=1), now - window))
            if due is not None and due <= now:
                while (later := self.after(due)) is not None and later <= now:
                    due = later
                return due
        return first


def _zone(timezone: str) -> ZoneInfo:
    try:
        return ZoneInfo(timezone[:LENGTH])
    except (KeyError, ValueError, OSError):  # what it raises depends on what is wrong with the name
        shown = timezone[:40]
        raise BadRequest.of("timezone", f"{shown!r} is not known; write e.g. Europe/Berlin or UTC") from None


def _weekdays(field: str) -> str:
    """Numbers as in crontab, 0 or 7 for Sunday; the library counts from Monday."""
    return ",".join(_weekday(part) for part in field.lower().split(","))


def _weekday(part: str) -> str:
    found = re.fullmatch(r"(\d+)(?:-(\d+))?(?:/(\d+))?", part)
    if found is None:
        return part
    begin, end, step = (None if group is None else int(group) for group in found.groups())
    assert begin is not None
    end = (begin if step is None else 7) if end is None else end
    if begin > end or end > 7 or step == 0:
        raise ValueError(f"{part!r} is not a weekday, 0 (Sunday) to 7 (Sunday)")
    return ",".join(dict.fromkeys(_DAYS[day % 7] for day in range(begin, end + 1, step or 1)))
