"""Who waits how long behind whom: the engine's choice of slots against two that others use.

    python benchmarks/fair_slots.py [-o benchmarks/results/fair_slots.json]

The engine's own `Service` chooses; no model runs, since it is about the order, counted in model calls. The two others:
first come, first served; and turns by job, each waiting job one step after the other.

What is to be reached: a light user's first step within ceil(active users / slots) ticks, and Jain's index of the
service received by ten people at least 0.99.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from calotype.engine.fairness import Service

SLOTS = 8


@dataclass(eq=False)
class Job:
    """Stands for a run: what the choice looks at."""

    person: str
    steps: int
    done: int = 0
    row_cost: float = 1.0
    batching_key: str = "model"
    assignment: Any = field(init=False)

    def __post_init__(self) -> None:
        self.assignment = SimpleNamespace(person=self.person, weight=1.0)


Choose = Callable[[list[Job], int], list[Job]]


def by_service() -> Choose:
    service = Service()

    def choose(waiting: list[Job], slots: int) -> list[Job]:
        here = {job.person for job in waiting}
        for person in here:
            service.arrive(person)
        return service.choose(waiting, slots)  # type: ignore[arg-type, return-value]

    return choose


def first_come(waiting: list[Job], slots: int) -> list[Job]:
    return waiting[:slots]


def by_turns() -> Choose:
    def choose(waiting: list[Job], slots: int) -> list[Job]:
        return sorted(waiting, key=lambda job: job.done)[:slots]  # stable: the oldest of those with the fewest steps

    return choose


def light_behind_heavy(choose: Choose, heavy: int = 1000) -> dict[str, int]:
    """Model calls until the light person's first step, and until their picture of 20 steps."""
    jobs = [Job("heavy", 30) for _ in range(heavy)]
    for _ in range(50):
        _call(jobs, choose)
    light = Job("light", 20)
    jobs.append(light)
    first = last = 0
    while light.done < light.steps and last < 100_000:
        last += 1
        _call(jobs, choose)
        first = first or (last if light.done else 0)
    return {"first_step_after_calls": first, "picture_after_calls": last}


def ten_people(choose: Choose) -> float:
    """Jain's index of the service that ten people got while all of them wanted more.

    Every job has 20 steps; a step of five people's jobs costs one unit, of the others' eight (a larger picture).
    """
    jobs = [Job(f"person {n}", 20, row_cost=1.0 if n % 2 else 8.0) for _ in range(60) for n in range(10)]
    received: defaultdict[str, float] = defaultdict(float)
    for _ in range(800):
        for job in _call(jobs, choose):
            received[job.person] += job.row_cost
    values = [received[f"person {n}"] for n in range(10)]
    return round(sum(values) ** 2 / (len(values) * sum(value**2 for value in values)), 4)


def _call(jobs: list[Job], choose: Choose) -> list[Job]:
    waiting = [job for job in jobs if job.done < job.steps]
    chosen = choose(waiting, SLOTS)
    for job in chosen:
        job.done += 1
    return chosen


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/fair_slots.json"))
    output = parser.parse_args().output
    results = {
        name: {"light_behind_1000_heavy": light_behind_heavy(make()), "jain_ten_people": ten_people(make())}
        for name, make in {
            "service received (ours)": by_service,
            "first come, first served": lambda: first_come,
            "turns by job": by_turns,
        }.items()
    }
    results["bound"] = {"first_step_within_calls": -(-2 // SLOTS)}
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
