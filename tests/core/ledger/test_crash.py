"""kill -9 of the process that writes: what was committed is there, what was not is not, and work goes on."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from calotype.errors import DatabaseError
from calotype.job import JobStatus
from calotype.ledger import Ledger
from databases import sqlite_databases

pytestmark = pytest.mark.faults

PREPARE = """
import sys, time
from sqlalchemy import text
from calotype.ledger import Ledger
from calotype.person import Person
from calotype.request import Request
ledger = Ledger(sys.argv[1])
request = Request(prompt="blue cat", seed=7)
def say(*words): print(*words, flush=True)
"""
WORK = """
for n in range(100_000):
    say("submitted", ledger.submit(Person(f"web:{n % 5}"), request, cost=1.0, reply_to={"front_end": "web"}).id)
    if n % 3:
        (job,) = ledger.claim()
        if n % 2 and ledger.finish(job.id, job.epoch, [], {}):
            say("finished", job.id)
"""
TOGETHER = """
from threading import Thread
def work(n):
    for k in range(100_000):
        job = ledger.submit(Person(f"web:{n}"), request, cost=1.0, key=str(k))
        sys.stdout.write(f"submitted {job.id}\\n")
        sys.stdout.flush()
for n in range(16): Thread(target=work, args=(n,), daemon=True).start()
time.sleep(60)
"""
STUCK = """
say("submitted", ledger.submit(Person("web:a"), request, cost=1.0).id)
def half(connection):
    connection.execute(text("UPDATE jobs SET status = 'finished'"))
    connection.execute(text("DELETE FROM persons WHERE key = 'nobody'"))
    say("inside")
    time.sleep(60)
ledger._database.write(half)
"""


def kill_after(url: str, program: str, line: str, count: int) -> list[list[str]]:
    """Runs the program, kills it at its ``count``-th such line, returns what it had said by then."""
    said: list[list[str]] = []
    with subprocess.Popen([sys.executable, "-c", PREPARE + program, url], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for output in process.stdout:
            said.append(output.split())
            if sum(words[0] == line for words in said) >= count:
                break
        process.send_signal(signal.SIGKILL)
        said += [output.split() for output in process.stdout if output.endswith("\n")]
    assert process.returncode == -signal.SIGKILL
    return said


@pytest.mark.parametrize("count", [1, 7, 40])
def test_killed_at_work(url: str, count: int) -> None:
    said = kill_after(url, WORK, "finished", count)
    submitted = [words[1] for words in said if words[0] == "submitted"]
    finished = [words[1] for words in said if words[0] == "finished"]
    with closing(Ledger(url)) as ledger:
        jobs = {job.id: job for job in ledger.history(None, limit=100_000)}
        assert set(submitted) <= jobs.keys()
        assert len(jobs) <= len(submitted) + 1  # one may be committed that was not told of any more
        done = {job_id for job_id, job in jobs.items() if job.status is JobStatus.FINISHED}
        assert set(finished) <= done
        assert {delivery.job.id for delivery in ledger.deliveries("web", limit=100_000)} == done
        requeued, dead = ledger.recover()
        assert not dead
        assert set(requeued) == {job_id for job_id, job in jobs.items() if job.status is JobStatus.RUNNING}
        assert {job.id for job in ledger.claim(100_000)} == jobs.keys() - done
    if url.startswith("sqlite:"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("count", [1, 60])
def test_killed_while_many_submit_at_once(url: str, count: int) -> None:
    """What was acknowledged is there, however many of them shared a commit; what is there is whole."""
    said = kill_after(url, TOGETHER, "submitted", count)
    submitted = {words[1] for words in said if words[0] == "submitted"}
    assert len(submitted) >= count
    with closing(Ledger(url)) as ledger:
        jobs = {job.id: job for job in ledger.history(None, limit=100_000)}
        assert submitted <= jobs.keys()
        assert len(jobs) <= len(submitted) + 16  # one of each thread may be committed and not yet acknowledged
        assert {job.id for job in ledger.claim(100_000)} == jobs.keys()  # so the counters of their people are right


def test_killed_in_the_middle_of_a_transaction(url: str) -> None:
    said = kill_after(url, STUCK, "inside", 1)
    with closing(Ledger(url)) as ledger:
        (job,) = ledger.claim()
        assert said[0] == ["submitted", job.id]


def test_a_database_that_was_not_prepared(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'x.db'}"
    with closing(Ledger(url)) as ledger, pytest.raises(DatabaseError, match="start calotype on it once"):
        ledger.counts()


def test_a_file_held_by_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = sqlite_databases(tmp_path)()
    monkeypatch.setattr("calotype.ledger.database.BUSY_TIMEOUT", 0.05)
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with closing(Ledger(url)) as ledger:
            assert ledger.job("x") is None  # readers do not wait
            with pytest.raises(DatabaseError, match="another process holds it"):
                ledger.claim()
            other.execute("ROLLBACK")
            assert ledger.claim() == []


@pytest.mark.parametrize(
    "url", ["nonsense", "postgresql://me:secret@host", "sqlite://", "sqlite:///:memory:", "mysql://x:secret@y/z"]
)
def test_urls_of_no_database(url: str) -> None:
    with pytest.raises(DatabaseError, match=r"use sqlite:///.* or postgresql://") as caught:
        Ledger(url)
    assert "secret" not in str(caught.value)
