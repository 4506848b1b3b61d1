"""A review gets so many seconds, and whoever keeps a thread is let go of."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from calotype.moderation.bounded import STUCK_LIMIT, Bounded, Unanswered
from calotype.review import Refusal

NO = Refusal("no")


def spin() -> None:
    while True:
        pass


def raises(error: BaseException) -> Callable[[], None]:
    def ask() -> None:
        raise error

    return ask


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise SystemExit("no")


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def threads() -> int:
    return sum(thread.name.startswith("review by") for thread in threading.enumerate())


@pytest.fixture(params=["here", "loop"])
def ask(request: pytest.FixtureRequest) -> Callable[..., Refusal | None]:
    bounded = Bounded()
    if request.param == "here":
        return bounded.ask_here
    return lambda *arguments: asyncio.run(bounded.ask(*arguments))


@pytest.mark.parametrize("answer", [None, NO])
def test_a_verdict_is_handed_on(ask: Callable[..., Refusal | None], answer: Refusal | None) -> None:
    assert ask("p", lambda: answer, 20.0) is answer


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (raises(ValueError("oh")), "ValueError: oh"),
        (raises(SystemExit(3)), "SystemExit: 3"),
        (raises(KeyboardInterrupt()), "KeyboardInterrupt"),
        (raises(Unspeakable()), "raised"),
        (lambda: "fine", "TypeError: it returned str; None lets it pass, a calotype.Refusal does not"),
        (lambda: False, "it returned bool"),
    ],
)
def test_what_is_no_verdict(ask: Callable[..., Refusal | None], work: Callable[[], object], said: str) -> None:
    with pytest.raises(Unanswered, match=said):
        ask("p", work, 20.0)


def test_one_that_hangs_is_given_up_and_ended(ask: Callable[..., Refusal | None]) -> None:
    with pytest.raises(Unanswered, match=r"(?s)it did not come back within 0.2 s:\n.*in spin") as caught:
        ask("p", spin, 0.2)
    assert "test_bounded.py" in str(caught.value), "where it stands"
    until(lambda: threads() == 0)
    assert ask("p", lambda: NO, 20.0) is NO, "it is asked again"


def test_one_that_keeps_its_threads_is_not_asked_until_one_comes_back() -> None:
    bounded, release = Bounded(), threading.Event()
    asked = []

    def hang() -> None:
        asked.append(1)
        release.wait()  # in C: it cannot be ended

    for _ in range(STUCK_LIMIT):
        with pytest.raises(Unanswered, match="within"):
            bounded.ask_here("p", hang, 0.05)
    with pytest.raises(Unanswered, match="3 earlier calls still hang"):
        bounded.ask_here("p", hang, 0.05)
    assert len(asked) == STUCK_LIMIT
    assert bounded.ask_here("another", lambda: NO, 20.0) is NO
    release.set()
    until(lambda: threads() == 0)
    assert bounded.ask_here("p", lambda: None, 20.0) is None


def test_the_event_loop_goes_on_meanwhile() -> None:
    async def scenario() -> int:
        review = asyncio.create_task(Bounded().ask("p", lambda: time.sleep(0.3), 20.0))
        beats = 0
        while not review.done():
            await asyncio.sleep(0.01)
            beats += 1
        return beats

    assert asyncio.run(scenario()) > 5


def test_whoever_is_called_off_leaves_no_thread_behind() -> None:
    async def scenario() -> None:
        review = asyncio.create_task(Bounded().ask("p", spin, 20.0))
        await asyncio.sleep(0.1)
        review.cancel()
        with pytest.raises(asyncio.CancelledError):
            await review

    asyncio.run(scenario())
    until(lambda: threads() == 0)
