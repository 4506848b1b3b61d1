"""The worker's end: what is done last is always done, and nothing after it."""

from __future__ import annotations

import threading
import time

import pytest

from calotype.engine.watchdog import Abandoned, Seat
from calotype.engine.worker import Worker


@pytest.mark.parametrize("busy", [False, True])
def test_the_last_task_is_done_however_the_end_comes(busy: bool) -> None:
    done: list[str] = []
    for turn in range(100):
        worker = Worker("w", 1, busy=lambda: busy, between=lambda: time.sleep(0.0001))
        for _ in range(turn % 3):
            worker.submit(lambda: time.sleep(0.0002))
        worker.close(5, lambda: done.append("last"))
        worker.submit(lambda: done.append("late"))
    assert done == ["last"] * 100


def test_abandoned_is_a_fault_like_any_other_on_a_thread_that_was_not_given_up() -> None:
    faults: list[BaseException] = []
    heard = threading.Event()

    def fault(error: BaseException) -> None:
        faults.append(error)
        heard.set()

    def stray() -> None:
        raise Abandoned

    worker = Worker("w", 1, fault=fault)
    worker.submit(stray)
    assert heard.wait(5)
    went_on = threading.Event()
    worker.submit(went_on.set)
    assert went_on.wait(5)
    assert [type(error) for error in faults] == [Abandoned]
    worker.close(5)


def test_nobody_is_asked_to_die_in_the_place_of_a_thread_that_has_ended() -> None:
    seat = Seat()
    thread = threading.Thread(target=seat.take)
    thread.start()
    thread.join()
    assert seat.left
    seat.ask_to_die()  # its number may be another thread's by now
    time.sleep(0.01)
