"""The ledger for somebody who only looks, beside a service and without one, at today's schema and at older ones."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from calotype.errors import DatabaseError
from calotype.job import Job, JobStatus, Picture
from calotype.ledger import Ledger, LedgerReader
from calotype.ledger.database import is_server
from calotype.person import OPERATOR, Person
from calotype.request import Request

ANN = Person("web:ann", "Ann")
A, B, C, D = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)
SCHEMAS = sorted((Path(__file__).parents[2] / "migrations" / "schemas").glob("*.sql"))


def finished(ledger: Ledger, sha256: str, request: Request) -> Job:
    ledger.submit(OPERATOR, request, cost=1.0)
    (job,) = ledger.claim()
    drawn = [Picture(k, 7 + k, sha256, 64, 64, ("a note",)) for k in range(2)]
    assert ledger.finish(job.id, job.epoch, drawn, {"threads": 1})
    done = ledger.job(job.id)
    assert done is not None
    return done


def test_what_is_read_is_what_is_there(ledger: Ledger, url: str) -> None:
    ledger.take_in(OPERATOR.key, B)
    ledger.take_in(OPERATOR.key, C)
    request = Request(prompt="blue cat", seed=7, init_image=B, strength=0.5, mask=C)
    first, second = finished(ledger, A, request), finished(ledger, A, request)
    waiting = ledger.submit(ANN, Request(prompt="red cat"), cost=1.0)
    reader = LedgerReader(url)
    found = reader.job(first.id)
    assert found is not None
    for name in ("id", "person", "request", "status", "created", "started", "finished", "pictures", "record"):
        assert getattr(found, name) == getattr(first, name), name
    unfinished = reader.job(waiting.id)
    assert unfinished is not None and unfinished.status is JobStatus.QUEUED
    newest = reader.drawn_by(A)
    assert newest is not None and newest.id == second.id
    assert reader.job("nothing") is None
    assert reader.drawn_by(B) is None
    assert [reader.took_in(sha256) for sha256 in (A, B, C, D)] == [False, True, True, False]
    ledger.forget_uploads(second.finished)  # type: ignore[arg-type]
    assert reader.took_in(B), "the jobs that start from it keep it"


def test_what_was_erased_is_not_found(ledger: Ledger, url: str) -> None:
    job = finished(ledger, A, Request(prompt="blue cat", seed=7))
    assert ledger.erase(job.id)
    assert LedgerReader(url).job(job.id) is None
    assert LedgerReader(url).drawn_by(A) is None


@pytest.mark.parametrize("closed", [True, False])
def test_looking_leaves_no_trace_in_the_folder(tmp_path: Path, url: str, closed: bool) -> None:
    if is_server(url):
        pytest.skip("a server has its own files")
    ledger = Ledger(f"sqlite:///{shutil.copy(url.removeprefix('sqlite:///'), tmp_path / 'calotype.db')}")
    job = finished(ledger, A, Request(prompt="blue cat", seed=7))
    if closed:
        ledger.close()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if not path.name.endswith("-shm")}
    assert LedgerReader(f"sqlite:///{tmp_path / 'calotype.db'}").job(job.id) is not None
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir() if not path.name.endswith("-shm")}
    assert after == before
    assert ("calotype.db-wal" in after) is not closed
    ledger.close()


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda path: path.stem)
def test_older_schemas_are_read_as_they_are(tmp_path: Path, schema: Path) -> None:
    file = tmp_path / "calotype.db"
    connection = sqlite3.connect(file)
    connection.executescript(schema.read_text("utf-8"))
    ((job_id, drawn),) = connection.execute(
        "SELECT id, count(*) FROM jobs JOIN pictures ON job_id = id WHERE status = 'finished' GROUP BY id LIMIT 1"
    )
    connection.close()
    before = file.read_bytes()
    reader = LedgerReader(f"sqlite:///{file}")
    job = reader.job(job_id)
    assert job is not None
    assert (job.status, job.request.prompt, job.request.steps) == (JobStatus.FINISHED, "blue cat", 20)
    assert len(job.pictures) == drawn
    assert reader.drawn_by(job.pictures[0].sha256) is not None
    assert not reader.took_in(D)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "nothing was made here"), (b"", "nothing was made here"), (b"no database" * 200, "restore a backup")],
)
def test_what_cannot_be_read(tmp_path: Path, content: bytes | None, words: str) -> None:
    file = tmp_path / "calotype.db"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(DatabaseError, match=words) as caught:
        LedgerReader(f"sqlite:///{file}").job("x")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ([] if content is None else ["calotype.db"])
