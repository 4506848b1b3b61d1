"""Who is next: the bound of fair queueing, positions, newcomers, weights; and that it stays an index seek."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from calotype.job import Job, JobStatus
from calotype.ledger import Ledger
from calotype.person import Person
from calotype.request import Request
from ledger_plans import is_sqlite, plans

REQUEST = Request(prompt="blue cat", seed=7)
costs = st.sampled_from([0.1, 0.3, 1.0, 1.7, 12.5, 100.0])
weights = st.sampled_from([0.5, 1.0, 2.0, 3.0])


def submit(ledger: Ledger, person: str, cost: float = 1.0, weight: float = 1.0) -> str:
    return ledger.submit(Person(person, weight=weight), REQUEST, cost=cost).id


def people(jobs: list[Job]) -> str:
    return "".join(job.person for job in jobs)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    queues=st.lists(st.tuples(weights, st.lists(costs, min_size=4, max_size=12)), min_size=2, max_size=4),
    head_start=st.integers(0, 6),
)
def test_service_differs_by_at_most_one_job_each(
    emptied: Callable[[], str], queues: list[tuple[float, list[float]]], head_start: int
) -> None:
    """In every interval in which two people both have work, whenever either came."""
    with closing(Ledger(emptied())) as ledger:
        weight = {str(n): queue[0] for n, queue in enumerate(queues)}
        largest = {str(n): max(queue[1]) / queue[0] for n, queue in enumerate(queues)}
        left: dict[str, int] = {}
        for n, (_, amounts) in enumerate(queues):
            for cost in amounts:
                submit(ledger, str(n), cost, weight[str(n)])
            left[str(n)] = len(amounts)
            if n == 0:  # the first one is alone for a while
                for job in ledger.claim(min(head_start, len(amounts) - 1)):
                    left[job.person] -= 1
        service: dict[str, float] = defaultdict(float)
        gaps: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0])
        while claimed := ledger.claim():
            (job,) = claimed
            service[job.person] += job.cost / weight[job.person]
            left[job.person] -= 1
            active = [person for person in left if left[person]]
            for pair in ((a, b) for a in active for b in active if a < b):
                gaps[pair].append(service[pair[0]] - service[pair[1]])
        for (a, b), differences in gaps.items():
            assert max(differences) - min(differences) <= largest[a] + largest[b] + 1e-9


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    jobs=st.lists(st.tuples(st.sampled_from("abcd"), costs), min_size=1, max_size=25),
    weight=st.fixed_dictionaries(dict.fromkeys("abcd", weights)),
    before=st.integers(0, 10),
)
def test_positions_are_the_order_of_the_claims(
    emptied: Callable[[], str], jobs: list[tuple[str, float]], weight: dict[str, float], before: int
) -> None:
    with closing(Ledger(emptied())) as ledger:
        ids = [submit(ledger, person, cost, weight[person]) for person, cost in jobs]
        ledger.claim(before)
        positions = ledger.positions(ids)
        in_order = [job.id for job in ledger.claim(len(ids))]
        assert [positions[job_id] for job_id in in_order] == list(range(len(in_order)))
        assert len(positions) == len(in_order)
        assert ledger.positions(ids) == {}


def test_position_of_one(ledger: Ledger) -> None:
    first, second, other = submit(ledger, "a"), submit(ledger, "a"), submit(ledger, "b")
    assert [ledger.position(job_id) for job_id in (first, other, second)] == [0, 1, 2]
    ledger.cancel(first)
    assert [ledger.position(job_id) for job_id in (first, second, other)] == [None, 0, 1]


def test_equals_are_served_as_they_came(ledger: Ledger) -> None:
    for person in "zebra":
        submit(ledger, person)
    assert people(ledger.claim(9)) == "zebra"


def test_by_cost_and_not_by_count(ledger: Ledger) -> None:
    for _ in range(8):
        submit(ledger, "a", 8.0)
        submit(ledger, "b", 2.0)
    assert people(ledger.claim(10)) == "abbbbabbbb"


def test_weight_is_a_share_and_acts_at_once(ledger: Ledger) -> None:
    for _ in range(9):
        submit(ledger, "a")
        submit(ledger, "b", weight=2.0)
    assert sorted(people(ledger.claim(9))) == list("aaabbbbbb")
    submit(ledger, "a", weight=2.0)
    submit(ledger, "b", weight=1.0)
    assert sorted(people(ledger.claim(6))) == list("aaaabb")


def test_a_newcomer_starts_now_and_saves_up_nothing(ledger: Ledger) -> None:
    for _ in range(20):
        submit(ledger, "a")
    ledger.claim(10)
    for _ in range(5):
        submit(ledger, "b")
    assert people(ledger.claim(6)) in {"bababa", "bbabab", "ababab"}


def test_a_cancelled_queue_costs_nothing(ledger: Ledger) -> None:
    for job_id in [submit(ledger, "a", 100.0) for _ in range(5)]:
        ledger.cancel(job_id)
    submit(ledger, "a")
    submit(ledger, "b")
    assert people(ledger.claim(2)) == "ab"


def test_the_clock_never_goes_back(ledger: Ledger) -> None:
    """Else a release would let a newcomer catch up on service from before they came."""
    submit(ledger, "a", 50.0)
    (first,) = ledger.claim()
    for _ in range(4):
        submit(ledger, "b", 10.0)
    ledger.claim(3)  # the clock stands at 20
    ledger.release(first.id, first.epoch)
    (again,) = ledger.claim()
    assert again.id == first.id
    submit(ledger, "c", 10.0)
    vtimes: dict[str, float] = ledger._database.read(
        lambda c: dict(c.execute(text("SELECT key, vtime FROM persons")).all())
    )
    assert vtimes == {"a": 50.0, "b": 30.0, "c": 20.0}


def test_a_cap_passes_people_over_without_losing_their_turn(ledger: Ledger) -> None:
    for person in "aaabbb":
        submit(ledger, person)
    jobs = ledger.claim(9, at_most_per_person=2)
    assert people(jobs) == "abab"
    assert ledger.claim(9, at_most_per_person=2) == []
    ledger.finish(jobs[0].id, jobs[0].epoch, [], {})
    assert people(ledger.claim(9, at_most_per_person=2)) == "a"
    assert ledger.counts()[JobStatus.RUNNING] == 4


def fill(ledger: Ledger) -> None:
    chosen = random.Random(1)
    for n in range(60):
        ledger.submit(Person(f"{chosen.randrange(9)}"), REQUEST, cost=1.0, reply_to={"front_end": "web"})
        if n % 2:
            (job,) = ledger.claim()
            ledger.finish(job.id, job.epoch, [], {})


@pytest.mark.parametrize("analysed", [False, True])
def test_what_runs_for_every_job_only_seeks(ledger: Ledger, analysed: bool) -> None:
    fill(ledger)
    if analysed:
        ledger._database.write(lambda connection: connection.execute(text("ANALYZE")))
    claimed: list[Job] = []
    claim = plans(ledger, lambda: claimed.extend(ledger.claim(1, at_most_per_person=50)))
    if is_sqlite(ledger):
        assert "SCAN persons USING INDEX ix_persons_waiting" in claim  # in its order, and stops at the first
        assert "SEARCH jobs USING INDEX ix_jobs_queued (status=? AND person=?)" in claim
    else:
        assert "Index Scan using ix_persons_waiting on persons" in claim
        assert [plan for plan in claim if "using ix_jobs_queued on jobs" in plan]
    job = claimed[0]
    other = plans(ledger, lambda: ledger.submit(Person("9"), REQUEST, cost=1.0, key="k"))
    other += plans(ledger, lambda: ledger.release(job.id, job.epoch))
    other += plans(ledger, lambda: claimed.extend(ledger.claim()))
    other += plans(ledger, lambda: ledger.finish(claimed[1].id, claimed[1].epoch, [], {}))
    other += plans(ledger, lambda: ledger.cancel(job.id))
    other += plans(ledger, lambda: ledger.history("1", before=job.id))
    deliveries = plans(ledger, lambda: ledger.deliveries("web", limit=2))
    if is_sqlite(ledger):
        assert "SEARCH outbox USING INDEX ix_outbox_open (front_end=?)" in deliveries
        scans = [plan for plan in claim + other + deliveries if "SCAN" in plan or "B-TREE" in plan]
        assert set(scans) == {"SCAN persons USING INDEX ix_persons_waiting"}
    else:
        assert [plan for plan in deliveries if "using ix_outbox_open on outbox" in plan]
        every = claim + other + deliveries
        assert [plan for plan in every if plan.startswith(("Seq Scan", "Sort", "Incremental Sort"))] == []
