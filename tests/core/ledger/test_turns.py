"""When a job's turn comes: from what was measured, and nothing where nothing was."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from calotype.events import Queued
from calotype.ledger import Ledger
from calotype.ledger.tables import jobs
from calotype.person import Person
from calotype.request import Request

REQUEST = Request(prompt="blue cat", seed=7)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def submit(ledger: Ledger, person: str, cost: float = 1.0) -> str:
    return ledger.submit(Person(person), REQUEST, cost=cost).id


def ran(ledger: Ledger, cost: float, begun: float, ended: float) -> None:
    """A finished job of so many cost units, by seconds after noon."""
    job_id = submit(ledger, "past", cost)
    job = ledger.claim_job(job_id)
    assert job is not None
    assert ledger.finish(job_id, job.epoch, [], {})
    times = {"started": NOON + timedelta(seconds=begun), "finished": NOON + timedelta(seconds=ended)}
    ledger._database.write(lambda connection: connection.execute(update(jobs).where(jobs.c.id == job_id).values(times)))


def test_nothing_is_said_before_anything_was_measured(ledger: Ledger) -> None:
    job_id = submit(ledger, "a")
    assert ledger.turns([job_id]) == {job_id: (0, None)}
    assert ledger.turns(["unknown"]) == {}


def test_the_cost_ahead_at_the_measured_pace(ledger: Ledger) -> None:
    ran(ledger, 10.0, 0, 5)  # two units a second
    first, second, third = submit(ledger, "a", 4.0), submit(ledger, "a", 6.0), submit(ledger, "a", 1.0)
    assert ledger.turns([first, second, third]) == {first: (0, 0.0), second: (1, 2.0), third: (2, 5.0)}
    (running,) = ledger.claim(1)
    assert running.id == first
    assert ledger.turns([first, second, third]) == {second: (0, 1.0), third: (1, 4.0)}  # half of what runs


def test_idle_hours_do_not_count_and_company_counts_once(ledger: Ledger) -> None:
    ran(ledger, 10.0, 0, 10)
    ran(ledger, 10.0, 5, 15)  # beside the first
    ran(ledger, 10.0, 7205, 7220)  # two hours later
    ran(ledger, 99.0, 7300, 7200)  # its clock was turned
    submit(ledger, "a", 10.0)
    last = submit(ledger, "a")
    assert ledger.turns([last]) == {last: (1, 10.0)}  # 30 units in 30 busy seconds


def test_it_comes_true_for_one_at_a_time(ledger: Ledger) -> None:
    """Played through: with jobs of one pace the job begins when it was said."""
    for n in range(10):
        ran(ledger, 3.0, 2 * n, 2 * n + 2)  # 1.5 units a second
    costs = {"a": [3.0, 6.0, 1.5], "b": [4.5, 3.0], "c": [9.0]}
    ids = [submit(ledger, person, cost) for person, several in costs.items() for cost in several]
    said = {job_id: turn.eta_seconds for job_id, turn in ledger.turns(ids).items()}
    clock = 0.0
    for job in ledger.claim(len(ids)):
        assert said[job.id] == pytest.approx(clock, abs=0.1)
        clock += job.cost / 1.5


def test_nobody_before_is_no_time(url: str) -> None:
    with closing(Ledger(url)) as ledger:
        for n in range(20):
            ran(ledger, 1.0, n, n + 1)
        slow = submit(ledger, "a", 5.0)
        after = submit(ledger, "a")
        assert ledger.turns([after])[after].eta_seconds == 5.0
        ledger.cancel(slow)
        assert ledger.turns([after])[after].eta_seconds == 0.0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, ""),
        (0.0, ", about 5 s"),
        (7.4, ", about 5 s"),
        (38.0, ", about 40 s"),
        (57.4, ", about 55 s"),
        (58.0, ", about 1 min"),
        (200.0, ", about 3 min"),
        (5300.0, ", about 88 min"),
        (9000.0, ", about 2 h"),
    ],
)
def test_words_are_no_more_precise_than_they_are(seconds: float | None, words: str) -> None:
    assert Queued("j", 3, seconds).about == words
