"""Any sequence of steps, with crashes in between: nothing lost, nothing recorded twice, the counters right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import text

from calotype.job import JobStatus, Picture
from calotype.ledger import Ledger
from calotype.person import Person
from calotype.request import Request

PEOPLE = [Person("a", weight=1.0), Person("b", weight=2.0), Person("c", weight=0.5)]
REQUEST = Request(prompt="blue cat", seed=7)
MAX_ATTEMPTS = 3


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
        self.ledger = Ledger(url)
        self.jobs: dict[str, Expected] = {}
        self.keys: dict[tuple[str, str], str] = {}
        self.undelivered: Counter[str] = Counter()

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
        job = self.ledger.submit(person, REQUEST, cost=cost, key=key, reply_to=reply_to)
        known = self.keys.get((person.key, key)) if key else None
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
        self.undelivered[job_id] += job.reply

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        job_id = self.chosen(data, *JobStatus)
        job = self.jobs[job_id]
        if not job.status.final:
            job.status = JobStatus.CANCELLED
            self.undelivered[job_id] += job.reply
        now = self.ledger.cancel(job_id)
        assert now is not None
        assert now.status is job.status

    @rule(closed=st.booleans())
    def crash(self, closed: bool) -> None:
        if closed:
            self.ledger.close()
        self.ledger = Ledger(self.url)
        running = self.those(JobStatus.RUNNING)
        dead = [job_id for job_id in running if self.jobs[job_id].attempts >= MAX_ATTEMPTS]
        again = [job_id for job_id in running if job_id not in dead]
        assert self.ledger.recover(MAX_ATTEMPTS) == (again, dead)
        for job_id in running:
            self.jobs[job_id].status = JobStatus.FAILED if job_id in dead else JobStatus.QUEUED
        for job_id in dead:
            self.undelivered[job_id] += self.jobs[job_id].reply

    @rule()
    def deliver(self) -> None:
        for delivery in self.ledger.deliveries("web", limit=1):
            self.undelivered[delivery.job.id] -= 1
            self.ledger.delivered(delivery.id)

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

    @invariant()
    def counters_are_right(self) -> None:
        for key, queued, running in self._query("SELECT key, queued, running FROM persons"):
            mine = Counter(job.status for job in self.jobs.values() if job.person == key)
            assert (queued, running) == (mine[JobStatus.QUEUED], mine[JobStatus.RUNNING])

    def _query(self, sql: str) -> list[Any]:
        return self.ledger._database.read(lambda connection: list(connection.execute(text(sql))))


def test_any_sequence_of_steps(new_database: Callable[[], str]) -> None:
    run_state_machine_as_test(
        lambda: Life(new_database()),  # type: ignore[arg-type]  # it only wants something to call
        settings=settings(
            max_examples=25, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
