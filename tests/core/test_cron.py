"""Cron expressions as people know them, and what was missed."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calotype.cron import Times
from calotype.errors import BadRequest

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)  # a Thursday


def days(cron: str) -> list[str]:
    """The weekdays of a week's times."""
    times, found, at = Times(cron), [], NEW_YEAR
    while (following := times.after(at)) is not None and following < NEW_YEAR + timedelta(days=7):
        at = following
        found.append(at.strftime("%a"))
    return found


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("0 9 * * 0", ["Sun"]),
        ("0 9 * * 7", ["Sun"]),
        ("0 9 * * 1", ["Mon"]),
        ("0 9 * * mon", ["Mon"]),
        ("0 9 * * MON-WED", ["Mon", "Tue", "Wed"]),
        ("0 9 * * 1-3", ["Mon", "Tue", "Wed"]),
        ("0 9 * * 0-2", ["Sun", "Mon", "Tue"]),
        ("0 9 * * 5-7", ["Fri", "Sat", "Sun"]),
        ("0 9 * * 1,3,fri", ["Fri", "Mon", "Wed"]),
        ("0 9 * * 1-5/2", ["Fri", "Mon", "Wed"]),
        ("@weekly", ["Sun"]),
    ],
)
def test_weekdays_count_as_in_crontab(cron: str, expected: list[str]) -> None:
    assert sorted(days(cron)) == sorted(expected)


def test_a_time_zone_with_its_summer_time() -> None:
    times = Times("30 8 * * *", "Europe/Berlin")
    assert times.after(datetime(2026, 1, 1, 12, tzinfo=UTC)) == datetime(2026, 1, 2, 7, 30, tzinfo=UTC)
    assert times.after(datetime(2026, 7, 1, 12, tzinfo=UTC)) == datetime(2026, 7, 2, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "message"),
    [
        ("", "has 0 fields; write five fields"),
        ("* * * *", "has 4 fields"),
        ("* * * * * *", "has 6 fields"),
        ("61 * * * *", "cannot be read"),
        ("x * * * *", "cannot be read"),
        ("0 0 * * 8", "is not a weekday"),
        ("0 0 * * 5-1", "is not a weekday"),
        ("0 0 * * 1-5/0", "is not a weekday"),
        ("0 0 31 2 *", "no day that ever comes"),
        ("* " * 200, "200 fields"),
    ],
)
def test_what_cannot_be_read(cron: str, message: str) -> None:
    with pytest.raises(BadRequest, match=r"^cron: ") as caught:
        Times(cron)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../../etc/passwd", "Europe", "x" * 500, "\0"])
def test_time_zones_that_are_none(zone: str) -> None:
    with pytest.raises(BadRequest, match=r"^timezone: .* is not known"):
        Times("@daily", zone)


@given(
    cron=st.sampled_from(["* * * * *", "*/7 * * * *", "0 * * * *", "15 3 * * *", "0 9 * * 1", "@monthly"]),
    before=st.timedeltas(timedelta(0), timedelta(days=40)),
)
def test_what_was_missed_is_the_latest(cron: str, before: timedelta) -> None:
    times, now = Times(cron), NEW_YEAR + timedelta(days=100, minutes=3)
    due = times.missed(now - before, now)
    if due is None:
        following = times.after(now - before)
        assert following is not None
        assert following > now
    else:
        assert now - before < due <= now
        following = times.after(due)
        assert following is not None
        assert following > now


def test_a_year_of_missed_minutes_takes_no_time() -> None:
    begun = time.monotonic()
    assert Times("* * * * *").missed(NEW_YEAR, NEW_YEAR + timedelta(days=365)) == NEW_YEAR + timedelta(days=365)
    assert time.monotonic() - begun < 0.5


@given(st.integers(0, 10**6))
def test_times_only_go_forward(minutes: int) -> None:
    times, at = Times("*/20 6-8 * * 1-5"), NEW_YEAR + timedelta(minutes=minutes)
    found = []
    for _ in range(5):
        following = times.after(at)
        assert following is not None
        found.append(at := following)
    assert all(one < other for one, other in pairwise(found))
