"""Sessions and notes between two processes' ledgers; what breaks heals."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from calotype.job import JobStatus
from calotype.ledger import Ledger
from calotype.ledger.channel import Channel, Note
from calotype.ledger.session import Kind, Session, number_of
from calotype.ledger.steps import Step
from calotype.person import Person
from calotype.request import Request
from databases import PostgresServer


@pytest.fixture
def two(postgres: PostgresServer) -> Iterator[tuple[Ledger, Ledger]]:
    url = postgres.ready()
    with closing(Ledger(url)) as one, closing(Ledger(url)) as other:
        yield one, other


def break_connections(ledger: Ledger) -> None:
    """As a restart of the server does to all of them."""
    killed = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    ledger._database.write(lambda connection: connection.execute(killed))


def test_a_lock_is_ours_until_we_are_gone(two: tuple[Ledger, Ledger]) -> None:
    with closing(two[0].session()) as one, closing(two[1].session()) as other:
        assert one.lock(Kind.LEADER)
        assert one.lock(Kind.LEADER)
        assert not other.lock(Kind.LEADER)
        assert other.lock(Kind.FRONT_END, "discord")  # another kind
        assert two[0].alive(Kind.LEADER) == {number_of("")}
        one.close()
        assert other.lock(Kind.LEADER)
        other.unlock(Kind.LEADER)
        other.unlock(Kind.LEADER)
        assert two[0].alive(Kind.LEADER) == set()


def test_shared_locks_and_names_of_any_number(two: tuple[Ledger, Ledger]) -> None:
    names = [f"name {n}" for n in range(20)]
    assert any(number_of(name) >= 2**31 for name in names)
    with closing(two[0].session()) as one, closing(two[1].session()) as other:
        for name in names:
            assert one.lock(Kind.IMAGES, name, shared=True)
            assert other.lock(Kind.IMAGES, name, shared=True)
        assert two[0].alive(Kind.IMAGES) == set(map(number_of, names))


def test_a_broken_session_takes_its_locks_again_unless_somebody_was_faster(two: tuple[Ledger, Ledger]) -> None:
    with closing(two[0].session()) as one, closing(two[1].session()) as other:
        assert one.lock(Kind.LEADER)
        assert one.lock(Kind.WORKER, "one")
        assert not other.lock(Kind.LEADER)
        begun = one.begun
        break_connections(two[0])
        assert fails(lambda: other.lock(Kind.LEADER))
        assert other.lock(Kind.LEADER)
        assert fails(one.ping)
        one.ping()
        assert one.begun > begun
        assert not one.lock(Kind.LEADER)
        assert two[0].alive(Kind.WORKER) == {number_of("one")}


def fails(call: Callable[[], Any]) -> bool:
    with pytest.raises(DBAPIError):
        call()
    return True


def test_no_session_while_a_backup_is_restored(two: tuple[Ledger, Ledger]) -> None:
    from calotype.errors import DatabaseError
    from calotype.ledger import postgresql

    def restore(connection: Any) -> None:
        assert connection.scalar(text("SELECT pg_try_advisory_xact_lock(:key)"), {"key": postgresql._OWNER})
        with closing(two[1].session()) as session, pytest.raises(DatabaseError, match="is being restored"):
            session.ping()

    two[0]._database.write(restore)
    with closing(two[1].session()) as session:
        session.ping()


class Ear:
    """A channel, and what it heard."""

    def __init__(self, ledger: Ledger) -> None:
        self.heard: queue.Queue[Sequence[Note] | None] = queue.Queue()
        self.session: Session = ledger.session()
        self.channel: Channel = ledger.channel(self.session, self.heard.put)

    def __enter__(self) -> Ear:
        self.channel.start()
        assert self.heard.get(timeout=5) is None  # the first look
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.stop()
        self.session.close()

    def next_notes(self) -> list[Note]:
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            notes = self.heard.get(timeout=5)
            if notes:
                return list(notes)
        raise AssertionError("nothing was heard")


def test_notes_reach_the_others_in_order(two: tuple[Ledger, Ledger]) -> None:
    with Ear(two[0]) as one, Ear(two[1]) as other:
        begun = time.monotonic()
        one.channel.say([Note("new", "a"), Note("step", "b"), Note("new", "a")])
        assert other.next_notes() == [Note("new", "a"), Note("step", "b")]
        assert time.monotonic() - begun < 1  # and not at the next look
        other.channel.say([Note("ended", "a")])
        assert one.next_notes() == [Note("ended", "a")]  # and never its own


def test_the_net_is_cast_also_if_nothing_is_said(two: tuple[Ledger, Ledger]) -> None:
    with Ear(two[0]) as ear:
        begun = time.monotonic()
        assert ear.heard.get(timeout=5) is None
        assert time.monotonic() - begun < 2


def test_a_lost_connection_heals_and_everything_is_looked_at(
    two: tuple[Ledger, Ledger], caplog: pytest.LogCaptureFixture
) -> None:
    with ExitStack() as stack:
        ear = stack.enter_context(Ear(two[0]))
        session = stack.enter_context(closing(two[1].session()))
        break_connections(two[1])
        begun = time.monotonic()
        assert ear.heard.get(timeout=5) is None
        assert time.monotonic() - begun < 2
        session.say(["new:x"])
        assert ear.next_notes() == [Note("new", "x")]
    assert caplog.text.count("is not heard") == 1


def test_a_listener_that_raises_is_asked_again(two: tuple[Ledger, Ledger], caplog: pytest.LogCaptureFixture) -> None:
    calls: list[Sequence[Note] | None] = []

    def hear(notes: Sequence[Note] | None) -> None:
        calls.append(notes)
        if len(calls) == 1:
            raise RuntimeError("a bug")

    with closing(two[0].session()) as session:
        channel = two[0].channel(session, hear)
        channel.start()
        deadline = time.monotonic() + 5
        while len(calls) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        channel.stop()
    assert calls[:2] == [None, None]
    assert "a bug" in caplog.text


@pytest.mark.parametrize("payload", ["", "x", "x:y:z", ":", "новый:я"])
def test_any_payload_can_be_read(payload: str) -> None:
    kind, job_id = Note.read(payload)
    assert isinstance(kind, str)
    assert isinstance(job_id, str)


def test_steps_are_the_latest_only(two: tuple[Ledger, Ledger]) -> None:
    one, other = two
    one.submit(Person("web:a"), Request(prompt="cat"), cost=1.0)
    (job,) = one.claim()
    assert other.steps.standing([job.id, "unknown"])[job.id] == (JobStatus.RUNNING, 1, None)
    first = Step(1, 20, ("a note",))
    one.steps.write({job.id: first, "gone": Step(paused=True)})
    second = Step(2, 20, ("a note",), paused=True, refusal="no", size=(1, 2), preview=b"123456")
    before = other.steps.look()
    assert before.paused == {"gone"}
    one.steps.write({job.id: second})
    assert other.steps.standing([job.id])[job.id].step == second
    assert other.steps.look().paused == {job.id, "gone"}
    one.steps.sweep()
    assert other.steps.look().paused == {job.id}
    one.steps.clear([job.id])
    assert other.steps.standing([job.id])[job.id].step is None
    assert other.steps.look().queue == before.queue
    one.submit(Person("web:a"), Request(prompt="cat"), cost=1.0)
    assert other.steps.look().queue != before.queue
    unlogged = text("SELECT relpersistence FROM pg_class WHERE relname = 'steps'")
    assert one._database.read(lambda connection: connection.scalar(unlogged)) == "u"
