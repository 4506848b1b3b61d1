"""Paused jobs: no tick, the same bytes afterwards, and no credit for having been away."""

from __future__ import annotations

import time
from typing import Any

import pytest

from calotype.engine.fairness import Service
from core_runs import FakeRun

FIELDS: dict[str, Any] = {"seed": 21, "steps": 60, "sampler": "euler_ancestral", "images": 2}


def test_the_same_bytes_whenever_it_is_paused(bench: Any) -> None:
    expected = bench.alone(**FIELDS)
    job = bench.join("pauses", **FIELDS)
    for steps in (1, 20, 50):
        bench.wait(lambda steps=steps: bench.steps[job] and bench.steps[job][-1][0] >= steps)
        bench.host.pause(job)
        bench.wait(lambda: bench.standing[job][-1:] == ["paused"])
        heard = len(bench.steps[job])
        bench.alone(seed=3, steps=3)  # the engine goes on for others
        assert len(bench.steps[job]) == heard, "it takes part in no tick"
        bench.host.resume(job)
    assert bench.pngs(job) == expected
    assert bench.standing[job] == ["paused", "resumed"] * 3


def test_an_engine_with_nothing_but_paused_jobs_rests(bench: Any) -> None:
    job = bench.join(**FIELDS)
    bench.wait(lambda: bench.steps[job])
    bench.host.pause(job)
    bench.wait(lambda: bench.standing[job])
    before, begun = time.process_time(), time.monotonic()
    time.sleep(0.5)
    assert time.process_time() - before < 0.5 * (time.monotonic() - begun)
    bench.host.resume(job)
    bench.pngs(job)


def test_paused_before_it_has_begun_and_cancelled_while_paused(bench: Any) -> None:
    expected = bench.alone(seed=4, steps=3)
    job, other = (bench.assignment("a", seed=4, steps=3) for _ in range(2))
    for each in (job, other):
        bench.host.join(each)
        bench.host.pause(each.job_id)
        bench.wait(lambda each=each: bench.standing[each.job_id])
    bench.alone(seed=3, steps=3)
    bench.host.cancel(other.job_id)
    bench.host.resume(other.job_id)
    bench.host.resume(job.job_id)
    assert bench.pngs(job.job_id) == expected
    assert other.job_id not in bench.rendered_by
    assert not bench.steps[other.job_id]


@pytest.mark.parametrize("times", [1, 50])
def test_pausing_is_no_way_to_the_front(times: int) -> None:
    service = Service()
    for person in "ab":
        service.arrive(person)
    runs = [FakeRun(person) for person in "ab" for _ in range(2)]
    served = {"a": 0, "b": 0}
    for turn in range(100):
        for run in service.choose(runs, 1):  # type: ignore[arg-type]
            served[run.person] += 1
        if turn % (100 // times) == 0:  # a goes away for a moment and comes back
            service.pause("a")
            service.arrive("a")
    assert abs(served["a"] - served["b"]) <= 1


def test_nobody_saves_up_while_paused() -> None:
    service = Service()
    for person in "ab":
        service.arrive(person)
    b = [FakeRun("b") for _ in range(4)]
    service.pause("a")
    for _ in range(50):
        service.choose(b, 2)  # type: ignore[arg-type]
    service.arrive("a")
    a = [FakeRun("a") for _ in range(4)]
    chosen = [run.person for _ in range(20) for run in service.choose([*a, *b], 1)]  # type: ignore[arg-type]
    assert 9 <= chosen.count("a") <= 11
