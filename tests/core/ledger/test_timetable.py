"""Periods and scheduled prompts, on both databases."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from calotype.errors import BadRequest, LimitReached, NotAllowed
from calotype.ledger import Ledger, periods, timetable
from calotype.person import OPERATOR, Person
from calotype.request import Request
from calotype.roles import Limits

REQUEST = Request(prompt="blue cat", steps=4)
ANN, BOB = Person("web:ann"), Person("web:bob")
HOUR = timedelta(hours=1)


def age(ledger: Ledger, prompt_id: int, created: datetime) -> None:
    """As if it had been added then."""
    change = timetable.scheduled_prompts.update().where(timetable.scheduled_prompts.c.id == prompt_id)
    ledger._database.write(lambda connection: connection.execute(change.values(created=created)))


def test_a_chore_begins_once_a_period(url: str, ledger: Ledger) -> None:
    other = Ledger(url)
    try:
        begun = [each.periods.begin("retention", timedelta(days=36500)) for each in (ledger, other, ledger)]
    finally:
        other.close()
    assert begun == [True, False, False]
    assert ledger.periods.begin("another", timedelta(days=36500))


def test_old_periods_are_trimmed_but_the_last_of_each(ledger: Ledger) -> None:
    days = [datetime(2020, 1, day, tzinfo=UTC) for day in (1, 2, 3)]
    for chore in ("a", "b"):
        for day in days:
            assert ledger._database.write(periods.begin, chore, day)
    ledger.periods.trim(timedelta(days=30))  # they were begun just now
    assert not ledger._database.write(periods.begin, "a", days[0])
    old = datetime.now(UTC) - timedelta(days=31)
    change = periods.chores_done.update().values(begun=old)
    ledger._database.write(lambda connection: connection.execute(change))
    ledger.periods.trim(timedelta(days=30))
    assert not ledger._database.write(periods.begin, "a", days[2])
    assert ledger._database.write(periods.begin, "b", days[1])
    assert ledger._database.read(periods.last, "b") == days[2]


def test_added_listed_removed(ledger: Ledger) -> None:
    mine = ledger.timetable.add(ANN, "0 9 * * mon", "Europe/Berlin", REQUEST, {"front_end": "discord", "channel": 1})
    other = ledger.timetable.add(BOB, "@daily", "UTC", REQUEST)
    assert ledger.timetable.all(ANN.key) == [mine]
    assert [each.id for each in ledger.timetable.all(None)] == [mine.id, other.id]
    assert (mine.request, mine.timezone, mine.reply_to) == (
        REQUEST,
        "Europe/Berlin",
        {"front_end": "discord", "channel": 1},
    )
    assert not ledger.timetable.remove(other.id, ANN)
    assert ledger.timetable.remove(mine.id, ANN)
    assert ledger.timetable.remove(other.id, OPERATOR)
    assert ledger.timetable.all(None) == []
    assert ledger.timetable.due() == []


def test_as_many_as_there_may_be(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timetable, "LIMIT", 2)
    for _ in range(2):
        ledger.timetable.add(ANN, "@daily", "UTC", REQUEST)
    with pytest.raises(BadRequest, match="2 prompts are scheduled"):
        ledger.timetable.add(ANN, "@daily", "UTC", REQUEST)
    for _ in range(3):
        ledger.timetable.add(OPERATOR, "@daily", "UTC", REQUEST)
    assert len(ledger.timetable.all(None)) == 5


def test_what_cannot_be_read_is_not_written(ledger: Ledger) -> None:
    for cron, zone in (("nonsense", "UTC"), ("@daily", "Mars/Olympus")):
        with pytest.raises(BadRequest):
            ledger.timetable.add(ANN, cron, zone, REQUEST)
    assert ledger.timetable.all(None) == []


def test_due_once_for_all_that_was_missed(ledger: Ledger) -> None:
    prompt = ledger.timetable.add(ANN, "* * * * *", "UTC", REQUEST)
    assert ledger.timetable.due() == []  # its first minute is still to come
    now = datetime.now(UTC)
    age(ledger, prompt.id, now - timedelta(days=3))
    (due,) = ledger.timetable.due()
    assert now - timedelta(minutes=1, seconds=5) < due.period <= datetime.now(UTC)
    assert due.person == ANN
    assert ledger.timetable.due()[0].key == due.key or datetime.now(UTC).minute != now.minute
    ledger.timetable.done(due, "no room")
    assert ledger.timetable.all(None)[0].error == "no room"
    assert ledger.timetable.due() == [] or datetime.now(UTC).minute != now.minute
    ledger.periods.trim(timedelta(0))  # the last period is kept
    assert ledger.timetable.due() == [] or datetime.now(UTC).minute != now.minute


def test_its_jobs_count_for_the_discord_server_in_which_it_was_added(url: str) -> None:
    with closing(Ledger(url, Limits(guild_queued=1))) as ledger:
        there = ledger.timetable.add(Person(ANN.key, guild="77"), "* * * * *", "UTC", REQUEST)
        alone = ledger.timetable.add(BOB, "* * * * *", "UTC", REQUEST)
        assert (there.guild, alone.guild) == ("77", None)
        for prompt in (there, alone):
            age(ledger, prompt.id, datetime.now(UTC) - HOUR)
        of_ann, of_bob = ledger.timetable.due()
        assert (of_ann.person, of_bob.person) == (Person(ANN.key, guild="77"), BOB)
        ledger.submit(of_ann.person, REQUEST, cost=1.0)
        with pytest.raises(LimitReached, match=r"^guild: 1 job from this server"):
            ledger.submit(Person("discord:3", guild="77"), REQUEST, cost=1.0)
        ledger.submit(of_bob.person, REQUEST, cost=1.0)


def test_removed_while_it_was_submitted(ledger: Ledger) -> None:
    prompt = ledger.timetable.add(ANN, "* * * * *", "UTC", REQUEST)
    age(ledger, prompt.id, datetime.now(UTC) - HOUR)
    (due,) = ledger.timetable.due()
    ledger.timetable.remove(prompt.id, OPERATOR)
    ledger.timetable.done(due, None)
    assert ledger._database.read(periods.last, prompt.chore) is None


def test_its_owner_is_who_they_are_linked_to(ledger: Ledger) -> None:
    web, discord = Person("web:v1", "V"), Person("discord:1", "D")
    ledger.timetable.add(web, "@daily", "UTC", REQUEST)
    code = ledger.people.link_code(discord)
    ledger.people.link(web, code.code)
    assert [each.person for each in ledger.timetable.all(web.key)] == ["discord:1"]
    assert len(ledger.timetable.all(discord.key)) == 1


def test_those_of_a_server_are_its_managers_too(ledger: Ledger) -> None:
    here = ledger.timetable.add(replace(BOB, guild="discord:1"), "@daily", "UTC", REQUEST)
    elsewhere = ledger.timetable.add(replace(BOB, guild="discord:2"), "@daily", "UTC", REQUEST)
    nowhere = ledger.timetable.add(BOB, "@daily", "UTC", REQUEST)
    mine = ledger.timetable.add(ANN, "@daily", "UTC", REQUEST)
    assert [each.id for each in ledger.timetable.all(ANN.key, "discord:1")] == [here.id, mine.id]
    for other in (elsewhere, nowhere):
        assert not ledger.timetable.remove(other.id, ANN, "discord:1")
    assert not ledger.timetable.remove(here.id, ANN)
    before = len(ledger.people.audit())
    assert ledger.timetable.remove(here.id, ANN, "discord:1")
    entry, *rest = ledger.people.audit()
    assert (entry.actor, entry.action, entry.subject) == (ANN.key, "unschedule", str(here.id))
    assert entry.details == {"owner": BOB.key}
    assert len(rest) == before
    assert ledger.timetable.remove(mine.id, ANN)
    assert len(ledger.people.audit()) == before + 1, "one's own is one's own business"


def test_the_banned_schedule_nothing(ledger: Ledger) -> None:
    ledger.people.ban(ANN.key, "spam", "operator")
    with pytest.raises(NotAllowed, match="spam"):
        ledger.timetable.add(ANN, "@daily", "UTC", REQUEST)
    assert ledger.timetable.all(None) == []


@pytest.mark.parametrize("broken", [{"timezone": "Moon/Crater"}, {"cron": "never"}, {"request": "a word"}])
def test_one_that_cannot_be_read_is_told_once_and_stops_no_other(
    ledger: Ledger, broken: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (ledger.timetable.add(ANN, "* * * * *", "UTC", REQUEST) for _ in range(2))
    table = timetable.scheduled_prompts
    an_hour_ago = table.update().values(created=datetime.now(UTC) - timedelta(hours=1))
    spoilt = table.update().where(table.c.id == first.id).values(broken)
    for change in (an_hour_ago, spoilt):
        ledger._database.write(lambda connection, change=change: connection.execute(change))
    for _ in range(3):
        assert [due.prompt.id for due in ledger.timetable.due()] == [second.id]
    assert [record.getMessage().split(":")[0] for record in caplog.records if record.levelname == "ERROR"] == [
        f"scheduled prompt {first.id} is skipped"
    ]
    listed = [each.id for each in ledger.timetable.all(None)]  # what can be read is shown, and the rest with it
    assert listed == ([second.id] if "request" in broken else [first.id, second.id])
    assert ledger.timetable.remove(first.id, ANN)
