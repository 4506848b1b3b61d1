"""Two people become one, at any moment: nothing lost, nothing doubled, nothing gained."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from calotype.errors import BadRequest, NotAllowed
from calotype.job import JobStatus
from calotype.ledger import Ledger
from calotype.ledger.linking import digest, new_code
from calotype.person import Person
from calotype.request import Request
from calotype.roles import Limits, Role

ANN = Person("discord:1", "Ann")
TAB = Person("web:tab", "visitor", role="visitor")
REQUEST = Request(prompt="blue cat", seed=7)
SHA = "a" * 64


def submit(ledger: Ledger, person: Person, cost: float = 1.0, **more: Any) -> str:
    return ledger.submit(person, REQUEST, cost=cost, **more).id


def rows(ledger: Ledger, sql: str) -> list[Any]:
    return ledger._database.read(lambda connection: [tuple(row) for row in connection.execute(text(sql))])


def joined(ledger: Ledger, maker: Person, other: Person) -> str:
    return ledger.people.link(other, ledger.people.link_code(maker).code)


def check_counters(ledger: Ledger) -> None:
    for key, queued, running in rows(ledger, "SELECT key, queued, running FROM persons"):
        mine = Counter(job.status for job in ledger.history(key, limit=1000))
        assert (queued, running) == (mine[JobStatus.QUEUED], mine[JobStatus.RUNNING])


def test_everything_of_both_is_one(ledger: Ledger) -> None:
    first, second = submit(ledger, TAB, key="k"), submit(ledger, ANN, key="k")
    third = submit(ledger, TAB, key="other")
    ledger.take_in(TAB, SHA)
    assert not ledger.may_use(ANN, SHA)
    assert joined(ledger, ANN, TAB) == ANN.key
    for account in (ANN.key, TAB.key):
        assert [job.id for job in ledger.history(account)] == [third, second, first]
        assert ledger.people.person_key(account) == ANN.key
        assert ledger.uploads(account) == 1
    assert ledger.may_use(ANN, SHA)
    assert ledger.may_use(TAB, SHA)
    moved = ledger.job(first)
    assert moved is not None
    assert (moved.person, moved.submitter) == (ANN.key, TAB.key)
    assert submit(ledger, TAB, key="k") == second  # of two jobs with one key the moved one lost it
    assert submit(ledger, ANN, key="other") == third
    later = ledger.job(submit(ledger, TAB))
    assert later is not None
    assert (later.person, later.account) == (ANN.key, TAB.key)
    known = ledger.people.one(TAB.key)
    assert (known.key, known.name, known.role, known.queued) == (ANN.key, "Ann", "member", 4)
    assert known.accounts == (ANN.key, TAB.key)
    assert [each.key for each in ledger.people.all(search="tab")] == [ANN.key]
    check_counters(ledger)
    (entry,) = ledger.people.audit()
    assert (entry.action, entry.actor, entry.subject) == ("link", TAB.key, ANN.key)
    assert len(ledger.claim(9)) == 4


def test_three_accounts_and_chains(ledger: Ledger) -> None:
    phone = Person("web:phone", "visitor", role="visitor")
    submit(ledger, phone)
    joined(ledger, TAB, phone)
    submit(ledger, TAB)
    assert joined(ledger, ANN, phone) == ANN.key
    assert ledger.people.one(TAB.key).accounts == (ANN.key, phone.key, TAB.key)
    assert ledger.people.one(ANN.key).queued == 2
    assert len(rows(ledger, "SELECT key FROM persons")) == 1
    assert {job.submitter for job in ledger.history(ANN.key)} == {TAB.key, phone.key}


def test_a_code_holds_once_and_for_ten_minutes(url: str) -> None:
    time = [datetime(2026, 3, 1, 12, tzinfo=UTC)]
    with closing(Ledger(url, Limits(now=lambda: time[0]))) as ledger:
        made = ledger.people.link_code(ANN)
        assert made.expires == time[0] + timedelta(minutes=10)
        replaced = ledger.people.link_code(ANN)
        for code in (made.code, new_code()):
            with pytest.raises(BadRequest, match="code: is not a code that holds now"):
                ledger.people.link(TAB, code)
        with pytest.raises(BadRequest, match="code: is your own"):
            ledger.people.link(ANN, replaced.code)
        time[0] += timedelta(minutes=10)
        with pytest.raises(BadRequest, match="holds now"):
            ledger.people.link(TAB, replaced.code)
        code = ledger.people.link_code(ANN).code
        ledger.people.link(TAB, f" {code.lower().replace('-', ' ').replace('0', 'o').replace('1', 'l')} ")
        with pytest.raises(BadRequest, match="holds now"):
            ledger.people.link(Person("web:2"), code)
        assert rows(ledger, "SELECT * FROM link_codes") == []


def test_codes_expire_by_the_databases_clock(ledger: Ledger) -> None:
    made = ledger.people.link_code(ANN)
    assert abs(made.expires - datetime.now(UTC) - timedelta(minutes=10)) < timedelta(minutes=1)
    assert made.code not in str(rows(ledger, "SELECT * FROM link_codes"))


@pytest.mark.parametrize("code", ["", "ABCD", "ABCD-EFG!", "ABCDEFGHJ", "ÄBCD-EFGH", "UUUU-UUUU"])
def test_what_cannot_be_a_code(code: str) -> None:
    with pytest.raises(BadRequest, match="code: is not a code; it looks like ABCD-EFGH"):
        digest(code)


def test_codes_have_forty_bits() -> None:
    codes = {new_code() for _ in range(500)}
    assert len(codes) == 500
    assert len({char for code in codes for char in code}) == 33  # 32 and the hyphen


def test_the_banned_are_linked_to_nobody(ledger: Ledger) -> None:
    code = ledger.people.link_code(ANN).code
    ledger.people.ban(TAB.key, "enough", "operator")
    with pytest.raises(NotAllowed, match="enough"):
        ledger.people.link(TAB, code)
    ledger.people.unban(TAB.key, "operator")
    ledger.people.link(TAB, code)  # it was not used up
    ledger.people.ban(TAB.key, "again", "operator")
    with pytest.raises(NotAllowed, match="again"):
        submit(ledger, ANN)


def test_nobody_gains_service(ledger: Ledger) -> None:
    """Who had much and joins who had nothing still waits; nor does a release give more back than there was."""
    submit(ledger, ANN, 50.0)
    submit(ledger, TAB, 1.0)
    heavy, light = sorted(ledger.claim(2), key=lambda job: -job.cost)
    other = submit(ledger, Person("x"))
    submit(ledger, ANN)
    joined(ledger, TAB, ANN)
    assert rows(ledger, "SELECT key, vtime FROM persons WHERE key LIKE 'web%'") == [(TAB.key, 50.0)]
    assert [job.id for job in ledger.claim(1)] == [other]
    assert ledger.release(heavy.id, heavy.epoch)
    assert ledger.release(light.id, light.epoch)
    assert rows(ledger, "SELECT vtime, queued FROM persons WHERE key LIKE 'web%'") == [(1.0, 3)]


def test_the_better_role_and_both_budgets(url: str) -> None:
    roles = {"visitor": Role(), "member": Role(daily_budget=5.0), "patron": Role(weight=3.0, daily_budget=9.0)}
    with closing(Ledger(url, Limits(roles=roles))) as ledger:
        submit(ledger, TAB, 4.0)
        submit(ledger, ANN, 3.0)
        ledger.people.set_role(ANN.key, "patron", "operator")
        joined(ledger, TAB, ANN)
        known = ledger.people.one(ANN.key)
        assert (known.key, known.role, known.weight, known.spent) == (TAB.key, "patron", 3.0, 7.0)
        assert known.daily_budget == 9.0


def test_crossed_codes_from_threads_make_one_person(url: str) -> None:
    with closing(Ledger(url)) as ledger:
        for round_ in range(4):
            pair = [Person(f"discord:{round_}"), Person(f"web:{round_}")]
            codes = [ledger.people.link_code(person).code for person in pair]
            start = threading.Barrier(2)

            def show(n: int, pair: list[Person] = pair, codes: list[str] = codes, start: Any = start) -> bool:
                start.wait()
                try:
                    ledger.people.link(pair[n], codes[1 - n])
                except BadRequest:
                    return False
                return True

            with ThreadPoolExecutor(2) as threads:
                assert sorted(threads.map(show, range(2))) == [False, True]
            assert ledger.people.person_key(pair[0].key) == ledger.people.person_key(pair[1].key)


def test_linking_while_everything_goes_on(url: str) -> None:
    """Submits, claims, finishes, cancels and uploads of both, from threads, while they become one."""
    with closing(Ledger(url)) as one, closing(Ledger(url)) as another:
        code = one.people.link_code(ANN).code
        start = threading.Barrier(7)
        mine: list[str] = []

        def ask(n: int) -> None:
            ledger, person = (one, another)[n % 2], (ANN, TAB)[n // 2 % 2]
            start.wait()
            for k in range(8):
                job_id = submit(ledger, person, key=f"{n}-{k}")
                assert submit(ledger, person, key=f"{n}-{k}") == job_id
                mine.append(job_id)
                if k % 3 == 0:
                    ledger.cancel(job_id)
                ledger.take_in(person, f"{n}{k}" + "a" * 60)

        def serve() -> None:
            start.wait()
            for _ in range(20):
                for job in another.claim(1):
                    assert another.finish(job.id, job.epoch, [], {}) or another.job(job.id).status.final  # type: ignore[union-attr]

        def link() -> None:
            start.wait()
            assert another.people.link(TAB, code) == ANN.key

        with ThreadPoolExecutor(7) as threads:
            for done in [*(threads.submit(ask, n) for n in range(4)), *(threads.submit(serve) for _ in range(2)),
                         threads.submit(link)]:  # fmt: skip
                done.result()
        assert [each.key for each in one.people.all()] == [ANN.key]
        assert {job.id for job in one.history(TAB.key, limit=1000)} == set(mine)
        assert len(mine) == 32
        assert one.uploads(ANN.key) == 32
        check_counters(one)


step = st.tuples(st.sampled_from("sscccfxrl"), st.integers(0, 2), st.sampled_from([0.5, 1.0, 3.0]))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(step, min_size=4, max_size=25))
def test_linking_at_any_moment_loses_and_doubles_nothing(
    new_database: Callable[[], str], steps: list[tuple[str, int, float]]
) -> None:
    people = [Person(f"p:{n}") for n in range(3)]
    with closing(Ledger(new_database())) as ledger:
        group = {person.key: person.key for person in people}
        made: dict[str, str] = {}
        running: dict[str, int] = {}
        spent: Counter[str] = Counter()
        for act, n, cost in steps:
            person = people[n]
            if act == "s":
                made[submit(ledger, person, cost)] = person.key
                spent[person.key] += cost  # type: ignore[assignment]
            elif act == "c":
                running |= {job.id: job.epoch for job in ledger.claim(1)}
            elif act in "fxr" and running:
                job_id, epoch = running.popitem()
                if act == "f":
                    assert ledger.finish(job_id, epoch, [], {})
                elif act == "x":
                    ledger.cancel(job_id)
                else:
                    assert ledger.release(job_id, epoch)
            elif act == "l" and group[person.key] != group[(other := people[(n + 1) % 3]).key]:
                before, gone = group[person.key], group[other.key]
                assert joined(ledger, person, other) == before
                group = {key: before if of == gone else of for key, of in group.items()}
            check_counters(ledger)
        found = {job.id: job for job in ledger.history(None, limit=1000)}
        assert {job_id: job.submitter for job_id, job in found.items()} == made
        assert all(job.person == group[job.submitter] for job in found.values())
        for known in ledger.people.all():
            assert known.spent == pytest.approx(sum(spent[key] for key, of in group.items() if of == known.key))
        order = [job.id for job in ledger.claim(100)]
        assert set(order) | set(running) >= {job_id for job_id, job in found.items() if not job.status.final}
