"""Caps, budgets, roles, bans: held in the transaction that accepts a job, whoever asks and however many at once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from calotype.errors import BadRequest, LimitReached, NotAllowed
from calotype.job import JobStatus
from calotype.ledger import Ledger
from calotype.person import OPERATOR, Person
from calotype.request import Request
from calotype.roles import Limits, Role

ANN, BEN = Person("discord:1", "Ann"), Person("discord:2", "Ben")
REQUEST = Request(prompt="blue cat", seed=7)
ROLES = {"visitor": Role(queued=1), "member": Role(queued=3), "patron": Role(weight=3.0, queued=5)}
CAPPED = Limits(roles={**ROLES, "operator": Role(queued=None)}, guild_queued=4, address_queued=2)


class Day:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.time = datetime(2026, 3, 1, 23, 59, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time


@pytest.fixture
def day() -> Day:
    return Day()


@pytest.fixture
def capped(url: str) -> Iterator[Ledger]:
    with closing(Ledger(url, CAPPED)) as ledger:
        yield ledger


@pytest.fixture
def budgeted(url: str, day: Day) -> Iterator[Ledger]:
    roles = {**ROLES, "member": Role(queued=None, daily_budget=10.0)}
    with closing(Ledger(url, Limits(roles=roles, now=day))) as ledger:
        yield ledger


def submit(ledger: Ledger, person: Person = ANN, cost: float = 1.0, **more: Any) -> str:
    return ledger.submit(person, REQUEST, cost=cost, **more).id


def rows(ledger: Ledger, sql: str) -> list[Any]:
    return ledger._database.read(lambda connection: [tuple(row) for row in connection.execute(text(sql))])


def test_queued_jobs_are_capped_and_make_room_when_they_begin(capped: Ledger) -> None:
    first = submit(capped, key="k")
    submit(capped)
    submit(capped)
    with pytest.raises(LimitReached, match=r"queued: 3 jobs of yours wait already, at most 3 of a member"):
        submit(capped)
    assert submit(capped, key="k") == first  # accepted before: never refused
    assert capped.counts()[JobStatus.QUEUED] == 3
    submit(capped, BEN)  # others are not concerned
    capped.cancel(first)
    submit(capped)
    with pytest.raises(LimitReached):
        submit(capped)
    capped.claim(1)
    submit(capped)


def test_a_refusal_writes_nothing(capped: Ledger) -> None:
    for _ in range(3):
        submit(capped)
    before = rows(capped, "SELECT * FROM persons")
    with pytest.raises(LimitReached):
        submit(capped, replace(ANN, name="Another"))
    assert rows(capped, "SELECT * FROM persons") == before


def test_a_role_that_may_queue_nothing(url: str) -> None:
    with closing(Ledger(url, Limits(roles={**ROLES, "visitor": Role(queued=0)}))) as ledger:
        with pytest.raises(LimitReached, match="nothing is taken from a visitor here"):
            submit(ledger, Person("web:1", role="visitor"))
        assert rows(ledger, "SELECT * FROM persons") == []
        submit(ledger)


def test_an_operator_has_no_caps(capped: Ledger) -> None:
    for _ in range(8):
        submit(capped, OPERATOR)


@pytest.mark.parametrize(("place", "cap", "words"), [("guild", 4, "from this server"), ("address", 2, "from your")])
def test_places_are_capped_over_their_people(capped: Ledger, place: str, cap: int, words: str) -> None:
    def ask(who: str, where: str = "here", role: str = "visitor") -> None:
        submit(capped, replace(Person(f"x:{who}", role=role), **{place: where}))

    for n in range(cap):
        ask(str(n))
    with pytest.raises(LimitReached, match=f"{place}: {cap} jobs {words}"):
        ask("new")
    ask("new", "there")
    if place == "address":
        ask("member", role="member")  # is not anonymous, and takes nothing from those who are
    capped.claim(1)
    ask("other")
    with pytest.raises(LimitReached):
        ask("another")


@pytest.mark.parametrize("place", [None, "guild"])
def test_no_number_of_threads_gets_over_a_cap(url: str, place: str | None) -> None:
    with closing(Ledger(url, CAPPED)) as one, closing(Ledger(url, CAPPED)) as another:
        start = threading.Barrier(12)

        def ask(n: int) -> bool:
            person = ANN if place is None else Person(f"x:{n}", guild="here")
            start.wait()
            try:
                submit((one, another)[n % 2], person)
            except LimitReached:
                return False
            return True

        with ThreadPoolExecutor(12) as threads:
            accepted = sum(threads.map(ask, range(12)))
        assert accepted == (3 if place is None else 4)
        assert one.counts()[JobStatus.QUEUED] == accepted
        assert rows(one, "SELECT sum(queued) FROM persons") == [(accepted,)]


def test_a_daily_budget_is_full_again_the_next_day(budgeted: Ledger, day: Day) -> None:
    submit(budgeted, cost=7.0)
    submit(budgeted, cost=2.0)
    with pytest.raises(LimitReached) as caught:
        submit(budgeted, cost=3.25)
    said = "daily budget: this needs 3.25 units and 1 of 10 are left today; it is full again at 00:00 UTC"
    assert str(caught.value).startswith(said)
    submit(budgeted, cost=1.0)  # to the last unit
    with pytest.raises(LimitReached):
        submit(budgeted, cost=0.01)
    day.time += timedelta(minutes=2)
    submit(budgeted, cost=10.0)
    assert budgeted.people.one(ANN.key).spent == 10.0


def test_a_budget_adds_up_exactly_enough(budgeted: Ledger) -> None:
    for _ in range(100):
        submit(budgeted, cost=0.1)
    with pytest.raises(LimitReached):
        submit(budgeted, cost=0.1)


def test_what_is_not_made_is_given_back(budgeted: Ledger, day: Day) -> None:
    queued, failing, running = submit(budgeted, cost=4.0), submit(budgeted, cost=3.0), submit(budgeted, cost=2.0)
    budgeted.cancel(queued)
    for job in budgeted.claim(2):
        if job.id == failing:
            assert budgeted.fail(job.id, job.epoch, "no memory")
    budgeted.cancel(running)  # it ran: that service was used
    assert budgeted.people.one(ANN.key).spent == pytest.approx(2.0)
    late = submit(budgeted, cost=8.0)
    day.time += timedelta(minutes=2)
    submit(budgeted, cost=5.0)
    budgeted.cancel(late)  # of yesterday: today's budget gains nothing
    assert budgeted.people.one(ANN.key).spent == 5.0


def test_a_role_has_a_weight_that_acts_at_once(capped: Ledger) -> None:
    for _ in range(3):
        submit(capped, ANN)
        submit(capped, BEN)
    capped.people.set_role(BEN.key, "patron", "operator")
    assert [job.person for job in capped.claim(4)].count(BEN.key) == 3
    assert capped.people.one(BEN.key).weight == 3.0
    submit(capped, BEN)  # a front end's word does not change it
    assert (capped.people.one(BEN.key).role, capped.people.one(BEN.key).weight) == ("patron", 3.0)
    with pytest.raises(BadRequest, match="role: 'king' is not one of visitor, member, patron"):
        capped.people.set_role(BEN.key, "king", "operator")


def test_changed_settings_hold_for_everybody_at_the_next_start(url: str) -> None:
    with closing(Ledger(url, CAPPED)) as ledger:
        submit(ledger, ANN)
        ledger.people.set_role(BEN.key, "patron", "operator")
    with closing(Ledger(url, Limits(roles={"member": Role(weight=0.5)}))) as ledger:  # no patrons any more
        assert ledger.people.apply_roles() == 2
        assert [known.weight for known in ledger.people.all()] == [0.5, 0.5]


def test_a_given_weight_holds_until_one_submits_without(ledger: Ledger) -> None:
    submit(ledger, replace(ANN, weight=2.5))
    assert ledger.people.one(ANN.key).weight == 2.5
    submit(ledger, ANN)
    assert ledger.people.one(ANN.key).weight == 1.0


def test_a_ban_cancels_and_refuses(capped: Ledger) -> None:
    running, queued = submit(capped, ANN), submit(capped, ANN, reply_to={"front_end": "web"})
    other = submit(capped, BEN)
    assert [job.id for job in capped.claim(1)] == [running]
    assert capped.people.ban(ANN.key, "  sold\n pictures ", "operator") == [running, queued]
    for job_id in (running, queued):
        job = capped.job(job_id)
        assert job is not None
        assert job.status is JobStatus.CANCELLED
    assert [delivery.job.id for delivery in capped.deliveries("web")] == [queued]
    assert not capped.finish(running, 1, [], {})
    known = capped.people.one(ANN.key)
    assert (known.queued, known.running, known.ban_reason) == (0, 0, "sold pictures")
    with pytest.raises(NotAllowed, match=r"banned: since .* nothing is taken from you: sold pictures"):
        submit(capped, ANN)
    with pytest.raises(NotAllowed, match="banned"):
        capped.take_in(ANN, "a" * 64)
    with pytest.raises(NotAllowed, match="banned"):
        capped.people.link_code(ANN)
    assert [job.id for job in capped.claim(5)] == [other]
    capped.people.unban(ANN.key, "operator")
    submit(capped, ANN)
    with pytest.raises(BadRequest, match="is not banned"):
        capped.people.unban(ANN.key, "operator")
    acts = [(entry.action, entry.actor) for entry in capped.people.audit(ANN.key)]
    assert acts == [("unban", "operator"), ("ban", "operator")]


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501])
def test_a_ban_needs_a_reason(ledger: Ledger, reason: str) -> None:
    with pytest.raises(BadRequest, match="reason: has"):
        ledger.people.ban(ANN.key, reason, "operator")
    assert ledger.people.all() == []


def test_somebody_who_was_never_here_may_be_banned(ledger: Ledger) -> None:
    assert ledger.people.ban("discord:9", "known elsewhere", "operator") == []
    with pytest.raises(NotAllowed, match="known elsewhere"):
        submit(ledger, Person("discord:9"))


def test_a_ban_while_they_submit_leaves_nothing_queued(url: str) -> None:
    with closing(Ledger(url)) as ledger:
        start = threading.Barrier(7)

        def ask(n: int) -> None:
            start.wait()
            for _ in range(5):
                try:
                    if n:
                        submit(ledger, ANN)
                    else:
                        ledger.people.ban(ANN.key, "enough", "operator")
                except NotAllowed:
                    return

        with ThreadPoolExecutor(7) as threads:
            list(threads.map(ask, range(7)))
        counts = ledger.counts()
        assert counts[JobStatus.QUEUED] == 0
        assert rows(ledger, "SELECT queued, running FROM persons") == [(0, 0)]


def test_those_on_whom_something_was_decided_are_not_forgotten(ledger: Ledger) -> None:
    for person in (ANN, BEN, Person("discord:3")):
        submit(ledger, person)
        (job,) = ledger.claim()
        ledger.finish(job.id, job.epoch, [], {})
    ledger._database.write(lambda c: c.execute(text("UPDATE persons SET spent = 0, vtime = 0")))
    ledger.people.ban(ANN.key, "enough", "operator")
    assert ledger.expire(datetime.now(UTC) + timedelta(days=1)) == 3
    assert [known.key for known in ledger.people.all()] == [ANN.key]


def test_people_are_found_by_key_name_and_account(ledger: Ledger) -> None:
    for n in range(5):
        submit(ledger, Person(f"discord:{n}", f"Name_{n}"))
    found: Callable[..., list[str]] = lambda **how: [known.key for known in ledger.people.all(**how)]  # noqa: E731
    assert found(limit=2) == ["discord:0", "discord:1"]
    assert found(limit=2, after="discord:1") == ["discord:2", "discord:3"]
    assert found(search="NAME_3") == ["discord:3"]
    assert found(search="e%3") == []
    with pytest.raises(BadRequest, match="nobody's account"):
        ledger.people.one("discord:77")
