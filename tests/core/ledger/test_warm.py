"""The preference for loaded models: fewer changes of models, and nobody is overtaken by more than the slack."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from calotype.job import Job
from calotype.ledger import Ledger
from calotype.ledger.warm import SLACK
from calotype.person import Person
from calotype.request import Request
from ledger_plans import is_sqlite, plans

costs = st.sampled_from([0.3, 1.0, 1.7, 12.5, 100.0])
weights = st.sampled_from([0.5, 1.0, 3.0])
MODELS = ["x", "y", "z"]


def submit(ledger: Ledger, person: str, model: str, cost: float = 1.0, weight: float = 1.0) -> str:
    request = Request(prompt="blue cat", seed=7, model=model)
    return ledger.submit(Person(person, weight=weight), request, cost=cost).id


def people(jobs: list[Job]) -> str:
    return "".join(job.person for job in jobs)


def test_who_needs_a_loaded_model_is_taken_first(ledger: Ledger) -> None:
    for person, model in zip("abcd", "xyxy", strict=True):
        submit(ledger, person, model)
    assert people(ledger.claim(2, loaded={"y"})) == "bd"
    assert people(ledger.claim(2, loaded={"y"})) == "ac"


def test_nothing_loaded_is_needed_close_by(ledger: Ledger) -> None:
    for person in "abc":
        submit(ledger, person, "x")
    assert people(ledger.claim(3, loaded={"y"})) == "abc"


def test_only_a_persons_next_job_counts(ledger: Ledger) -> None:
    submit(ledger, "a", "x")
    submit(ledger, "b", "x")
    submit(ledger, "b", "y")
    assert people(ledger.claim(3, loaded={"y"})) == "abb"


def test_the_slack_ends(ledger: Ledger) -> None:
    """``a`` waits for SLACK of its own jobs, here as many of ``b``'s plus the one that begins at the limit."""
    submit(ledger, "a", "x")
    for _ in range(9):
        submit(ledger, "b", "y")
    turns = "".join(people(ledger.claim(loaded={"y"})) for _ in range(5))
    assert turns == "b" * (int(SLACK) + 1) + "a" + "b"


def test_the_slack_is_that_of_everybody_who_is_passed_over(ledger: Ledger) -> None:
    """The first has a large job and much slack; the second a small one, and is not made to wait for it."""
    submit(ledger, "a", "x", cost=100.0)
    submit(ledger, "b", "x", cost=0.1)
    for _ in range(9):
        submit(ledger, "c", "y")
    assert [people(ledger.claim(loaded={"y"})) for _ in range(3)] == ["c", "a", "b"]


def test_a_newcomer_starts_where_the_first_in_line_stands(ledger: Ledger) -> None:
    submit(ledger, "a", "x", cost=10.0)
    for _ in range(3):
        submit(ledger, "b", "y", cost=5.0)
    assert people(ledger.claim(3, loaded={"y"})) == "bbb"
    submit(ledger, "c", "x")
    rows = ledger._database.read(lambda c: c.execute(text("SELECT key, vtime FROM persons ORDER BY key")).all())
    assert [tuple(row) for row in rows] == [("a", 0.0), ("b", 15.0), ("c", 0.0)]


def test_caps_hold(ledger: Ledger) -> None:
    submit(ledger, "a", "x")
    for _ in range(3):
        submit(ledger, "b", "y")
    assert people(ledger.claim(4, at_most_per_person=1, loaded={"y"})) == "ba"


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    queues=st.lists(
        st.tuples(weights, st.lists(st.tuples(costs, st.sampled_from(MODELS)), min_size=4, max_size=12)),
        min_size=2,
        max_size=4,
    ),
    loaded=st.lists(st.sets(st.sampled_from(MODELS), max_size=2), min_size=48, max_size=48),
)
def test_service_differs_by_at_most_one_job_each_and_the_slack(
    emptied: Callable[[], str],
    queues: list[tuple[float, list[tuple[float, str]]]],
    loaded: list[set[str]],
) -> None:
    """In every interval in which two people both have work, whatever is loaded when."""
    with closing(Ledger(emptied())) as ledger:
        weight = {str(n): queue[0] for n, queue in enumerate(queues)}
        largest = {str(n): max(cost for cost, _ in queue[1]) / queue[0] for n, queue in enumerate(queues)}
        left = {str(n): len(queue[1]) for n, queue in enumerate(queues)}
        for n, (_, wanted) in enumerate(queues):
            for cost, model in wanted:
                submit(ledger, str(n), model, cost, weight[str(n)])
        service: dict[str, float] = defaultdict(float)
        gaps: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0])
        for warm in loaded:
            for job in ledger.claim(loaded=warm):
                service[job.person] += job.cost / weight[job.person]
                left[job.person] -= 1
            active = [person for person in left if left[person]]
            for pair in ((a, b) for a in active for b in active if a < b):
                gaps[pair].append(service[pair[0]] - service[pair[1]])
        assert not any(left.values())
        for (a, b), differences in gaps.items():
            assert max(differences) - min(differences) <= (1 + SLACK) * (largest[a] + largest[b]) + 1e-9


def changes(ledger: Ledger, *, prefers: bool) -> tuple[int, list[str]]:
    """How often the model changes over 300 jobs of 30 people and 3 models, if one is in memory at a time; the turns."""
    chosen = random.Random(3)
    for n in range(300):
        submit(ledger, f"{n % 30:02}", chosen.choice(MODELS), cost=chosen.uniform(1, 3))
    order: list[Job] = []
    while claimed := ledger.claim(loaded={order[-1].request.model or ""} if order and prefers else ()):
        order += claimed
    assert len(order) == 300
    models = [job.request.model for job in order]
    return sum(a != b for a, b in pairwise(models)), [job.person for job in order]


def test_models_change_less_often(emptied: Callable[[], str]) -> None:
    with closing(Ledger(emptied())) as ledger:
        without, _ = changes(ledger, prefers=False)
    with closing(Ledger(emptied())) as ledger:
        with_it, turns = changes(ledger, prefers=True)
    assert without > 150
    assert with_it < without / 5
    behind = [turns[:n].count(person) - n / 30 for n in range(0, 300, 30) for person in set(turns)]
    assert min(behind) > -5  # jobs that anybody is ever behind their share: the slack, and costs of 1 to 3


def test_the_claim_still_only_seeks(ledger: Ledger) -> None:
    for n in range(60):
        submit(ledger, f"{n % 9}", MODELS[n % 3])
    found = plans(ledger, lambda: ledger.claim(1, at_most_per_person=50, loaded={"none of these"}))
    if is_sqlite(ledger):
        assert "SEARCH persons USING INDEX ix_persons_waiting (vtime>? AND vtime<?)" in found
        scans = {plan for plan in found if "SCAN" in plan or "B-TREE" in plan}
        assert scans == {"SCAN persons USING INDEX ix_persons_waiting"}  # in its order, and stops at the first
    else:
        assert len([plan for plan in found if "ix_persons_waiting" in plan]) == 2
        assert [plan for plan in found if plan.startswith(("Seq Scan", "Sort", "Incremental Sort"))] == []


def test_several_who_claim_at_once_take_each_job_once(ledger: Ledger) -> None:
    for n in range(60):
        submit(ledger, f"{n % 9}", MODELS[n % 3])

    def work(n: int) -> list[str]:
        mine = []
        while jobs := ledger.claim(loaded={MODELS[n % 3]}):
            mine += [job.id for job in jobs]
        return mine

    with ThreadPoolExecutor(4) as threads:
        taken = [job_id for mine in threads.map(work, range(4)) for job_id in mine]
    taken += [job.id for job in ledger.claim(60)]  # on PostgreSQL a claim passes over whoever is locked just then
    assert len(taken) == len(set(taken)) == 60
