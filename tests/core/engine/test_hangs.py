"""Plugins that hang: their job alone fails, the log says where, and everybody else's bytes are what they would be."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image

from calotype import NoParams, Params, PictureInfo, PostProcessor, Query, Sampler, Sampling, Schedule
from calotype.catalog import Catalog
from calotype.checkpoint import EMBEDDED, inspect
from calotype.engine.assignment import Assignment
from calotype.plugins.registry import Registry

pytestmark = pytest.mark.faults

SECONDS = 1.0
"""The limit; no test waits for it more than a few times."""
FIELDS: list[dict[str, Any]] = [
    {"seed": 1, "steps": 12, "sampler": "euler_ancestral"},
    {"seed": 2, "steps": 15, "images": 2},
    {"seed": 3, "steps": 10, "sampler": "heun", "guidance": 1.0},
]


@pytest.fixture
def quick(bench: Any, registry: Registry) -> Iterator[Any]:
    quick = type(bench)(
        Catalog(registry, [inspect(EMBEDDED)]), slots=4, plugin_seconds=SECONDS, postprocess_seconds=2 * SECONDS
    )
    quick.alone(seed=9, steps=1)
    yield quick
    quick.host.close(timeout=0.5)


@pytest.fixture(scope="module")
def expected(bench: Any) -> list[list[bytes]]:
    """Of the neighbours, each by itself, by another host."""
    return [bench.alone(**fields) for fields in FIELDS]


def spin() -> None:
    while True:
        pass


def sleep() -> None:
    time.sleep(3600)


def spin_on_and_on() -> None:
    while True:
        try:  # noqa: SIM105
            time.sleep(0.001)
        except BaseException:  # noqa: BLE001 - it is the worst that there is
            pass


class Hangs(Sampler):
    """Behaves for ``good`` queries, then does something that does not return."""

    name, label = "hangs", "Hangs"

    def __init__(self, hang: Callable[[], None], good: int = 2) -> None:
        self.hang, self.good = hang, good

    def calls(self, steps: int) -> int:
        return steps

    def run(self, x: torch.Tensor, sigmas: Any, noise: Any, params: Params) -> Sampling:
        for _ in range(self.good):
            yield Query(x, sigmas[0])
        self.hang()
        return x


class HangsOnClose(Sampler):
    """Cannot be stopped."""

    name, label = "clinging", "Clinging"

    def calls(self, steps: int) -> int:
        return steps

    def run(self, x: torch.Tensor, sigmas: Any, noise: Any, params: Params) -> Sampling:
        try:
            for sigma in sigmas[:-1]:
                yield Query(x, sigma)
        finally:
            spin()
        return x


class HangingSchedule(Schedule):
    name, label = "endless", "Endless"

    def sigmas(self, steps: int, levels: Any, params: Params) -> Any:
        spin()


class HangingStep(PostProcessor):
    name, label = "stuck", "Stuck"

    def __init__(self, hang: Callable[[], None]) -> None:
        self.hang = hang

    def process(self, image: Image.Image, info: PictureInfo, params: Params) -> Image.Image:
        self.hang()
        return image


def with_sampler(quick: Any, sampler: Sampler, **fields: Any) -> Assignment:
    assignment = quick.assignment("culprit", **{"steps": 20, **fields})
    return replace(assignment, sampler=sampler, sampler_params=NoParams())


def neighbours(quick: Any) -> list[str]:
    return [quick.join(f"neighbour {place}", **fields) for place, fields in enumerate(FIELDS)]


@pytest.mark.parametrize("hang", [spin, sleep, spin_on_and_on])
@pytest.mark.parametrize("good", [0, 3])
def test_a_sampler_that_hangs_fails_alone(
    quick: Any, expected: Any, caplog: pytest.LogCaptureFixture, hang: Any, good: int
) -> None:
    before = {id(thread) for thread in threading.enumerate()}
    culprit = with_sampler(quick, Hangs(hang, good), images=2)
    with caplog.at_level(logging.ERROR):
        if good:
            ids = neighbours(quick)
            quick.host.join(culprit)
        else:
            quick.host.join(culprit)
            ids = neighbours(quick)
        began = time.monotonic()
        reason = quick.failure(culprit.job_id)
        assert time.monotonic() - began < 20 * SECONDS
        assert reason.startswith("sampler hangs: it did not come back within 1 s, so the job was given up")
        assert [quick.pngs(job) for job in ids] == expected
    told = next(r.getMessage() for r in caplog.records if "hangs, for over" in r.getMessage())
    assert culprit.job_id in told
    assert "sampler hangs" in told
    assert f"in {hang.__name__}" in told, "the stack says where"
    assert set(quick.failures) == {culprit.job_id}
    assert culprit.job_id not in quick.rendered_by
    if hang is not sleep:  # what can be ended has been
        _until(lambda: sum(id(t) not in before and t.name == "engine" for t in threading.enumerate()) == 1)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Unspeakable(Exception):
    """Cannot be put into words."""

    def __str__(self) -> str:
        raise SystemExit("no")


class Endless(Exception):
    """Its words never come."""

    def __str__(self) -> str:
        spin()
        return ""


def raising(error: type[Exception]) -> Callable[[], None]:
    def raises() -> None:
        raise error

    return raises


def test_a_sampler_that_cannot_even_say_what_it_raised_fails_alone(quick: Any, expected: Any) -> None:
    culprit = with_sampler(quick, Hangs(raising(Unspeakable)))
    ids = neighbours(quick)
    quick.host.join(culprit)
    assert quick.failure(culprit.job_id) == "sampler hangs: it raised Unspeakable: (it cannot even say why)"
    assert [quick.pngs(job) for job in ids] == expected
    assert set(quick.failures) == {culprit.job_id}


def test_a_sampler_that_hangs_on_saying_what_it_raised(quick: Any, expected: Any) -> None:
    culprit = with_sampler(quick, Hangs(raising(Endless)))
    ids = neighbours(quick)
    quick.host.join(culprit)
    assert "did not come back" in quick.failure(culprit.job_id)
    assert [quick.pngs(job) for job in ids] == expected


def test_what_is_raised_in_one_run_never_reaches_another(quick: Any, expected: Any) -> None:
    """Not even what is no Exception, and is raised where no sampler is: in the arithmetic around it."""

    class Rude:
        def __init__(self, model: Any) -> None:
            self.model, self.guided, self.signature = model, True, (("hidden", (24, 256)),)

        def __getattr__(self, name: str) -> Any:
            raise KeyboardInterrupt

    culprit = quick.assignment("culprit", steps=150)
    ids = neighbours(quick)
    quick.host.join(culprit)
    quick.wait(lambda: quick.steps[culprit.job_id])
    run = quick.host._residents.find(culprit.job_id).runs[0]
    run.denoiser = Rude(run.denoiser.model)
    assert "something went wrong" in quick.failure(culprit.job_id)
    assert [quick.pngs(job) for job in ids] == expected


def test_one_hang_after_another(quick: Any, expected: Any) -> None:
    culprits = [with_sampler(quick, Hangs(hang, good)) for hang, good in ((spin, 1), (sleep, 2), (spin, 5))]
    for culprit in culprits[:2]:
        quick.host.join(culprit)
    ids = neighbours(quick)
    quick.host.join(culprits[2])
    for culprit in culprits:
        assert "did not come back" in quick.failure(culprit.job_id)
    assert [quick.pngs(job) for job in ids] == expected
    assert len(quick.failures) == 3


def test_a_neighbour_that_is_done_in_the_very_tick_is_finished(quick: Any, bench: Any) -> None:
    short = bench.alone(seed=4, steps=2, sampler="euler")
    job = quick.assignment("neighbour", seed=4, steps=2, sampler="euler")
    culprit = with_sampler(quick, Hangs(sleep, good=2))
    entered = threading.Event()
    quick.host._ticking.worker.submit(lambda: entered.wait(10))  # so that both begin with the same tick
    quick.host.join(job)
    quick.host.join(culprit)
    _until(lambda: quick.host._ticking.worker._tasks.qsize() == 2)
    entered.set()
    assert quick.pngs(job.job_id) == short
    assert quick.failure(culprit.job_id)


def test_cancelling_while_a_sampler_hangs(quick: Any, expected: Any) -> None:
    hanging = threading.Event()

    def hang() -> None:
        hanging.set()
        spin()

    culprit = with_sampler(quick, Hangs(hang))
    ids = neighbours(quick)
    off = quick.join("off", steps=150)
    quick.host.join(culprit)
    assert hanging.wait(30)
    quick.host.cancel(off)
    quick.host.cancel(culprit.job_id)
    assert [quick.pngs(job) for job in ids] == expected
    quick.alone(seed=5, steps=2)
    assert quick.failures == {}, "nothing is heard of a job that was called off"
    assert off not in quick.rendered_by


def test_a_sampler_that_does_not_let_itself_be_stopped(quick: Any, expected: Any) -> None:
    culprit = with_sampler(quick, HangsOnClose(), steps=150, images=2)
    quick.host.join(culprit)
    quick.wait(lambda: len(quick.steps[culprit.job_id]) >= 2)
    ids = neighbours(quick)
    quick.host.cancel(culprit.job_id)
    assert [quick.pngs(job) for job in ids] == expected
    assert quick.failures == {}


def test_a_schedule_that_hangs(quick: Any, expected: Any, caplog: pytest.LogCaptureFixture) -> None:
    culprit = replace(quick.assignment("culprit", steps=20), schedule=HangingSchedule(), schedule_params=NoParams())
    with caplog.at_level(logging.ERROR):
        quick.host.join(culprit)
        ids = neighbours(quick)
        assert quick.failure(culprit.job_id).startswith("schedule endless: it did not come back within 1 s")
    assert [quick.pngs(job) for job in ids] == expected
    assert any(culprit.job_id in r.getMessage() and "in spin" in r.getMessage() for r in caplog.records)


@pytest.mark.parametrize("hang", [spin, sleep])
def test_a_postprocessor_that_hangs_is_skipped_and_said(
    quick: Any, bench: Any, expected: Any, caplog: pytest.LogCaptureFixture, hang: Any
) -> None:
    plain = bench.alone(seed=5, steps=2, images=3)
    assignment = quick.assignment("culprit", seed=5, steps=2, images=3)
    (upscale,) = assignment.postprocess
    culprit = replace(
        assignment, postprocess=[(HangingStep(hang), NoParams()), upscale, (HangingStep(hang), NoParams())]
    )
    with caplog.at_level(logging.ERROR):
        quick.host.join(culprit)
        ids = neighbours(quick)
        assert quick.pngs(culprit.job_id) == plain
    notes = {picture.notes for picture in quick.rendered_by[culprit.job_id]}
    assert notes == {("Stuck was skipped: it did not come back within 2 s",) * 2}
    assert [quick.pngs(job) for job in ids] == expected
    hung = [r.getMessage() for r in caplog.records if "hangs, for over" in r.getMessage()]
    assert len(hung) == 1, "further pictures of the job do without it"
    assert culprit.job_id in hung[0]
    assert quick.failures == {}


def test_a_postprocessor_that_hangs_on_saying_what_it_raised(quick: Any, bench: Any) -> None:
    """Whoever logs such an error would hang too, and with the log's lock everybody who logs."""
    plain = bench.alone(seed=5, steps=2)
    assignment = quick.assignment(seed=5, steps=2)
    step = HangingStep(raising(Endless))
    culprit = replace(assignment, postprocess=[(step, NoParams()), *assignment.postprocess])
    quick.host.join(culprit)
    assert quick.pngs(culprit.job_id) == plain
    (picture,) = quick.rendered_by[culprit.job_id]
    assert picture.notes == ("Stuck was skipped: it did not come back within 2 s",)


def test_promises_that_cannot_be_made(quick: Any, expected: Any) -> None:
    class Promises(Hangs):
        def calls(self, steps: int) -> int:
            raise Unspeakable

    culprit = with_sampler(quick, Promises(spin))
    ids = neighbours(quick)
    quick.host.join(culprit)
    assert quick.failure(culprit.job_id) == "sampler hangs: it raised Unspeakable: (it cannot even say why)"
    assert [quick.pngs(job) for job in ids] == expected


def test_cancelling_while_a_postprocessor_hangs(quick: Any, bench: Any) -> None:
    hanging = threading.Event()

    def hang() -> None:
        hanging.set()
        spin()

    assignment = quick.assignment(seed=5, steps=2)
    culprit = replace(assignment, postprocess=[(HangingStep(hang), NoParams())])
    quick.host.join(culprit)
    assert hanging.wait(30)
    quick.host.cancel(culprit.job_id)
    assert quick.alone(seed=6, steps=2) == bench.alone(seed=6, steps=2)
    assert culprit.job_id not in quick.rendered_by
    assert quick.failures == {}


def test_a_stop_does_not_wait_for_what_hangs(quick: Any) -> None:
    hanging = threading.Event()

    def hang() -> None:
        hanging.set()
        sleep()

    culprit = with_sampler(quick, Hangs(hang))
    quick.host.join(culprit)
    assert hanging.wait(30)
    began = time.monotonic()
    quick.host.close(timeout=0.5)
    assert time.monotonic() - began < 10
    assert culprit.job_id not in quick.failures


def test_slow_is_not_hung(quick: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a stranger's code is timed: a model call may take as long as it takes."""
    model = quick.host._shelf.find(inspect(EMBEDDED))
    predict = type(model).predict

    def slow(self: Any, *args: Any) -> Any:
        time.sleep(2 * SECONDS)
        return predict(self, *args)

    fast = quick.alone(seed=8, steps=1)
    monkeypatch.setattr(type(model), "predict", slow)
    assert quick.alone(seed=8, steps=1) == fast
