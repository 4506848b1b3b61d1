"""Who gets the slots, without a model: the bound that the design states."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from calotype.engine.fairness import Service
from core_runs import FakeRun


@given(
    st.dictionaries(
        st.sampled_from("abcdef"),
        st.tuples(st.integers(1, 5), st.sampled_from([0.5, 1.0, 2.0]), st.sampled_from(["m", "n"])),
        min_size=2,
    ),
    st.integers(1, 4),
)
def test_service_gap_stays_within_slots_times_the_largest_cost(
    people: dict[str, tuple[int, float, str]], slots: int
) -> None:
    service = Service()
    runs = [FakeRun(name, cost, key) for name, (count, cost, key) in people.items() for _ in range(count)]
    for name in people:
        service.arrive(name)
    received: defaultdict[str, float] = defaultdict(float)
    for _ in range(60):
        chosen = service.choose(runs, slots)  # type: ignore[arg-type]
        assert 1 <= len(chosen) <= slots
        assert len({run.batching_key for run in chosen}) == 1
        assert len(set(map(id, chosen))) == len(chosen)
        for run in chosen:
            received[run.person] += run.row_cost
        # a person with one run gets one slot a tick at most, so only those who can use more are compared upwards
        most = max(received.values())
        least = min(received[name] for name in people)
        usable = min(count for count, _, _ in people.values())
        if usable >= slots:
            assert most - least <= 2 * slots * max(cost for _, cost, _ in people.values()) + 1e-9


def test_a_newcomer_starts_level_and_is_served_at_once() -> None:
    service = Service()
    service.arrive("heavy")
    heavy = [FakeRun("heavy") for _ in range(8)]
    for _ in range(100):
        service.choose(heavy, 4)  # type: ignore[arg-type]
    service.arrive("light")
    light = FakeRun("light")
    assert light in service.choose([*heavy, light], 4)  # type: ignore[arg-type]


def test_weight_is_a_share() -> None:
    service = Service()
    service.arrive("one")
    service.arrive("two")
    runs = [*(FakeRun("one") for _ in range(4)), *(FakeRun("two", weight=2.0) for _ in range(4))]
    served: defaultdict[str, int] = defaultdict(int)
    for _ in range(300):
        for run in service.choose(runs, 1):  # type: ignore[arg-type]
            served[run.person] += 1
    assert abs(served["two"] - 2 * served["one"]) <= 3
