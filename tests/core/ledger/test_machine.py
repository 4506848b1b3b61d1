"""Any sequence of steps, with crashes and clocks that jump in between, on both databases.

Life: nothing lost, nothing recorded twice, one outbox row a result, the counters right. Turns: whatever comes and goes,
two people who always wait are served alike. ``CALOTYPE_TEST_MACHINE_EXAMPLES=1000`` runs them for longer.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import text

from calotype.errors import NotAllowed
from calotype.job import JobStatus, Picture
from calotype.ledger import Ledger, rows
from calotype.ledger.leases import Holder
from calotype.ledger.warm import SLACK
from calotype.person import Person
from calotype.request import Request

PEOPLE = [Person("a", weight=1.0), Person("b", weight=2.0), Person("c", weight=0.5)]
REQUEST = Request(prompt="blue cat", seed=7)
MAX_ATTEMPTS = 3
EXAMPLES = int(os.environ.get("CALOTYPE_TEST_MACHINE_EXAMPLES", "6"))
EVER = datetime(9000, 1, 1, tzinfo=UTC)
MODELS = ["x", "y"]


class Clock(datetime):
    """The time of the process, which anybody may set."""

    ahead = timedelta()

    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return datetime.now(tz) + cls.ahead


@pytest.fixture(autouse=True)
def a_clock_that_jumps(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(rows, "datetime", Clock)
    yield
    Clock.ahead = timedelta()


@dataclass
class Expected:
    person: str
    reply: bool
    status: JobStatus = JobStatus.QUEUED
    epoch: int = 0
    attempts: int = 0
    pictures: int = 0


class Life(RuleBasedStateMachine):
    """The ledger beside a model of it in plain Python."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.jobs: dict[str, Expected] = {}
        self.keys: dict[tuple[str, str], str] = {}
        self.banned: set[str] = set()
        self.undelivered: Counter[str] = Counter()
        """Results that are due."""
        self.awaited: Counter[str] = Counter()
        """Those that were not given up, due or not."""
        self._open()

    def _open(self) -> None:
        self.ledger = Ledger(self.url)
        if self.ledger.shared:
            self.ledger.leases.holder = Holder("we", 3600)

    def teardown(self) -> None:
        self.ledger.close()

    def those(self, *statuses: JobStatus) -> list[str]:
        return [job_id for job_id, job in self.jobs.items() if job.status in statuses]

    def chosen(self, data: st.DataObject, *statuses: JobStatus) -> str:
        return data.draw(st.sampled_from(self.those(*statuses) or list(self.jobs)))

    @rule(
        person=st.sampled_from(PEOPLE),
        cost=st.sampled_from([0.1, 1.0, 7.3]),
        key=st.none() | st.sampled_from("xyz"),
        reply=st.booleans(),
    )
    def submit(self, person: Person, cost: float, key: str | None, reply: bool) -> None:
        reply_to = {"front_end": "web"} if reply else None
        known = self.keys.get((person.key, key)) if key else None
        if person.key in self.banned and known is None:
            with pytest.raises(NotAllowed):
                self.ledger.submit(person, REQUEST, cost=cost, key=key, reply_to=reply_to)
            return
        job = self.ledger.submit(person, REQUEST, cost=cost, key=key, reply_to=reply_to)
        assert known in {None, job.id}
        if known is None:
            assert job.id not in self.jobs
            self.jobs[job.id] = Expected(person.key, reply)
            if key:
                self.keys[person.key, key] = job.id

    @rule(limit=st.integers(1, 3))
    def claim(self, limit: int) -> None:
        positions = self.ledger.positions(self.jobs)
        assert positions.keys() == set(self.those(JobStatus.QUEUED))
        claimed = self.ledger.claim(limit)
        assert [job.id for job in claimed] == sorted(positions, key=positions.__getitem__)[:limit]
        for job in claimed:
            self._runs(job.id, job.epoch)

    @rule(cap=st.integers(1, 2))
    def claim_with_a_cap(self, cap: int) -> None:
        for job in self.ledger.claim(3, at_most_per_person=cap):
            self._runs(job.id, job.epoch)
            running = [other for other in self.those(JobStatus.RUNNING) if self.jobs[other].person == job.person]
            assert len(running) <= cap

    def _runs(self, job_id: str, epoch: int) -> None:
        job = self.jobs[job_id]
        assert job.status is JobStatus.QUEUED
        job.status, job.epoch, job.attempts = JobStatus.RUNNING, job.epoch + 1, job.attempts + 1
        assert epoch == job.epoch

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), stale=st.booleans(), step=st.sampled_from(["finish", "fail", "release"]))
    def use_a_claim(self, data: st.DataObject, stale: bool, step: str) -> None:
        job_id = self.chosen(data, JobStatus.RUNNING)
        job = self.jobs[job_id]
        epoch = job.epoch - stale
        drawn = [Picture(0, 7, f"{job.epoch:064x}", 64, 64)]
        calls: dict[str, Callable[[], bool]] = {
            "finish": lambda: self.ledger.finish(job_id, epoch, drawn, {"epoch": epoch}),
            "fail": lambda: self.ledger.fail(job_id, epoch, "no"),
            "release": lambda: self.ledger.release(job_id, epoch),
        }
        took = calls[step]()
        assert took == (job.status is JobStatus.RUNNING and not stale)
        if not took:
            return
        if step == "release":
            job.status, job.attempts = JobStatus.QUEUED, job.attempts - 1
            return
        job.status = JobStatus.FINISHED if step == "finish" else JobStatus.FAILED
        job.pictures = int(step == "finish")
        self._posted(job_id)

    def _posted(self, job_id: str) -> None:
        self.undelivered[job_id] += self.jobs[job_id].reply
        self.awaited[job_id] += self.jobs[job_id].reply

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job_id = self.chosen(data, *JobStatus)
        job = self.jobs[job_id]
        if not job.status.final:
            job.status = JobStatus.CANCELLED
            self._posted(job_id)
        now = self.ledger.cancel(job_id)
        assert now is not None
        assert now.status is job.status

    @rule(closed=st.booleans())
    def crash(self, closed: bool) -> None:
        if closed:
            self.ledger.close()
        self._open()
        self._taken_back(lambda: self.ledger.recover(MAX_ATTEMPTS))

    def _taken_back(self, step: Callable[[], tuple[list[str], list[str]]]) -> None:
        """All that runs has nobody any more."""
        running = self.those(JobStatus.RUNNING)
        dead = [job_id for job_id in running if self.jobs[job_id].attempts >= MAX_ATTEMPTS]
        again = [job_id for job_id in running if job_id not in dead]
        assert step() == (again, dead)
        for job_id in running:
            self.jobs[job_id].status = JobStatus.FAILED if job_id in dead else JobStatus.QUEUED
        for job_id in dead:
            self._posted(job_id)

    @rule(lapses=st.booleans())
    def renew(self, lapses: bool) -> None:
        """Whoever holds jobs says that they live; a lease that is not renewed in time is over."""
        running = {job_id: self.jobs[job_id].epoch for job_id in self.those(JobStatus.RUNNING)}
        assert self.ledger.leases.held() == running
        if not self.ledger.shared:
            return
        assert self.ledger.leases.renew() == running
        assert self.ledger.leases.take_back(max_attempts=MAX_ATTEMPTS) == ([], [])
        if lapses:
            over = text("UPDATE jobs SET lease = now() - interval '1 second' WHERE status = 'running'")
            self.ledger._database.write(lambda connection: connection.execute(over))
            self._taken_back(lambda: self.ledger.leases.take_back(max_attempts=MAX_ATTEMPTS))

    @rule(person=st.sampled_from(PEOPLE))
    def ban(self, person: Person) -> None:
        theirs = [j for j in self.those(JobStatus.QUEUED, JobStatus.RUNNING) if self.jobs[j].person == person.key]
        assert self.ledger.people.ban(person.key, "spam", "operator") == theirs
        self.banned.add(person.key)
        for job_id in theirs:
            self.jobs[job_id].status = JobStatus.CANCELLED
            self._posted(job_id)

    @rule(person=st.sampled_from(PEOPLE))
    def unban(self, person: Person) -> None:
        if person.key in self.banned:
            self.ledger.people.unban(person.key, "operator")
            self.banned.discard(person.key)

    @rule()
    def deliver(self) -> None:
        for delivery in self.ledger.deliveries("web", limit=1):
            self.undelivered[delivery.job.id] -= 1
            self.awaited[delivery.job.id] -= 1
            self.ledger.delivered(delivery.id)

    @rule(failed_for_ever=st.booleans())
    def deliver_in_vain(self, failed_for_ever: bool) -> None:
        for delivery in self.ledger.deliveries("web", limit=1):
            self.undelivered[delivery.job.id] -= 1
            self.awaited[delivery.job.id] -= failed_for_ever
            self.ledger.delivery_failed(delivery.id, "503", None if failed_for_ever else EVER)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def erase(self, data: st.DataObject) -> None:
        job_id = self.chosen(data, *JobStatus)
        final = self.jobs[job_id].status.final
        assert self.ledger.erase(job_id) == final
        if final:
            self._gone({job_id})

    @rule(limit=st.integers(0, 3))
    def expire(self, limit: int) -> None:
        """Not while somebody waits for the result."""
        final = {job_id for job_id in self.those(*(s for s in JobStatus if s.final)) if not self.awaited[job_id]}
        assert self.ledger.expire(EVER, limit) == min(limit, len(final))
        gone = self.jobs.keys() - {job.id for job in self.ledger.history(None, limit=1000)}
        assert gone <= final
        assert len(gone) == min(limit, len(final))
        self._gone(gone)

    def _gone(self, gone: set[str]) -> None:
        for job_id in gone:
            del self.jobs[job_id]
            del self.undelivered[job_id]
            del self.awaited[job_id]
        self.keys = {key: job_id for key, job_id in self.keys.items() if job_id not in gone}

    @rule(hours=st.sampled_from([-1000, -1, 1, 1000]))
    def clock_jump(self, hours: int) -> None:
        Clock.ahead += timedelta(hours=hours)

    @invariant()
    def nothing_lost_and_nothing_twice(self) -> None:
        stored = {job.id: job for job in self.ledger.history(None, limit=1000)}
        assert stored.keys() == self.jobs.keys()
        for job_id, job in self.jobs.items():
            now = stored[job_id]
            found = Expected(now.person, now.reply_to is not None, now.status, now.epoch, now.attempts)
            found.pictures = len(now.pictures)
            assert found == job
        assert self.ledger.counts() == dict.fromkeys(JobStatus, 0) | Counter(job.status for job in self.jobs.values())

    @invariant()
    def the_outbox_holds_each_undelivered_result_once(self) -> None:
        assert Counter(delivery.job.id for delivery in self.ledger.deliveries("web")) == +self.undelivered
        assert set(self.undelivered.values()) <= {0, 1}

    @invariant()
    def counters_are_right(self) -> None:
        for key, queued, running in self._query("SELECT key, queued, running FROM persons"):
            mine = Counter(job.status for job in self.jobs.values() if job.person == key)
            assert (queued, running) == (mine[JobStatus.QUEUED], mine[JobStatus.RUNNING])

    def _query(self, sql: str) -> list[Any]:
        return self.ledger._database.read(lambda connection: list(connection.execute(text(sql))))


class Turns(RuleBasedStateMachine):
    """Who is served, among people who come and go: the bound of fair queueing, with loaded models or without.

    No release and no cap: a charge that is given back, and a person who is passed over, are other people's service.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self.ledger = Ledger(url)
        self.url = url
        self.waiting: Counter[str] = Counter()
        self.charged = dict.fromkeys((person.key for person in PEOPLE), 0.0)
        self.gaps: dict[tuple[str, str], list[float]] = {}
        self.running: list[tuple[str, int]] = []
        self.slack = 0.0

    def teardown(self) -> None:
        self.ledger.close()

    @rule(person=st.sampled_from(PEOPLE), cost=st.sampled_from([0.1, 1.0, 7.3]), model=st.sampled_from(MODELS))
    def submit(self, person: Person, cost: float, model: str) -> None:
        self.ledger.submit(person, REQUEST.model_copy(update={"model": model}), cost=cost)
        self.waiting[person.key] += 1

    @rule(
        person=st.sampled_from(PEOPLE),
        several=st.lists(st.tuples(st.sampled_from([0.1, 1.0, 7.3]), st.sampled_from(MODELS)), min_size=2, max_size=8),
    )
    def submit_several(self, person: Person, several: list[tuple[float, str]]) -> None:
        for cost, model in several:
            self.submit(person, cost, model)

    @precondition(lambda self: +self.waiting)
    @rule(loaded=st.sets(st.sampled_from(MODELS), max_size=1), times=st.integers(1, 6))
    def claim(self, loaded: set[str], times: int) -> None:
        for _ in range(min(times, self.waiting.total())):
            (job,) = self.ledger.claim(loaded=loaded)
            if loaded:
                self.slack = SLACK
            self.charged[job.person] += job.cost / job.weight
            self.waiting[job.person] -= 1
            self.running.append((job.id, job.epoch))
            self.both_wait()
            self.the_service_differs_by_at_most_one_job_each_and_the_slack()

    @precondition(lambda self: self.running)
    @rule(finished=st.booleans())
    def end(self, finished: bool) -> None:
        job_id, epoch = self.running.pop()
        assert self.ledger.finish(job_id, epoch, [], {}) if finished else self.ledger.cancel(job_id)

    @precondition(lambda self: +self.waiting)
    @rule(data=st.data())
    def cancel_one_that_waits(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from([j for j in self.ledger.history(None) if j.status is JobStatus.QUEUED]))
        self.ledger.cancel(job.id)
        self.waiting[job.person] -= 1

    @rule()
    def forget_what_is_over(self) -> None:
        self.ledger.expire(EVER)

    @rule(hours=st.sampled_from([-1000, 1000]))
    def clock_jump(self, hours: int) -> None:
        Clock.ahead += timedelta(hours=hours)

    @rule()
    def another_process(self) -> None:
        self.ledger.close()
        self.ledger = Ledger(self.url)

    @invariant()
    def both_wait(self) -> None:
        """An interval begins when both have work and ends when one has none."""
        for pair in combinations(sorted(self.charged), 2):
            if all(self.waiting[person] for person in pair):
                difference = self.charged[pair[0]] - self.charged[pair[1]]
                self.gaps.setdefault(pair, []).append(difference)
            else:
                self.gaps.pop(pair, None)

    @invariant()
    def the_service_differs_by_at_most_one_job_each_and_the_slack(self) -> None:
        weight = {person.key: person.weight for person in PEOPLE}
        for pair, differences in self.gaps.items():
            bound = (1 + self.slack) * sum(7.3 / weight[person] for person in pair)
            assert max(differences) - min(differences) <= bound + 1e-9


@pytest.mark.parametrize("machine", [Life, Turns])
def test_any_sequence_of_steps(machine: Callable[[str], RuleBasedStateMachine], emptied: Callable[[], str]) -> None:
    run_state_machine_as_test(
        lambda: machine(emptied()),  # type: ignore[arg-type]  # it only wants something to call
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
