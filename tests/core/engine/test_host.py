"""The engine as a whole: pictures, exactness in company, cancel, misbehaving samplers, previews."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from calotype import Estimate, NoParams, Params, PictureInfo, PostProcessor, Query, Sampler, Sampling
from calotype.engine.assignment import Assignment
from calotype.engine.hints import Hints
from calotype.engine.run import SeededNoise

TINY = "tiny-sd1"
PICTURE = (Path(__file__).parents[3] / "docs" / "pictures" / "six.png").read_bytes()


def test_delivers_a_picture_of_the_embedded_model(bench: Any) -> None:
    job = bench.join(prompt="blue cat", seed=7, steps=12)
    image = Image.open(io.BytesIO(bench.pngs(job)[0]))
    assert image.format == "PNG"
    assert image.size == (256, 256)
    middle = np.asarray(image.crop((64, 64, 192, 192)), dtype=float).mean(axis=(0, 1))
    assert middle[2] > middle[0] + 40, "a blue cat is blue"
    assert bench.steps[job][-1] == (12, 12)
    assert bench.records[job]["threads"] == 1
    assert len(bench.records[job]["model"]["sha256"]) == 64


def test_images_of_one_request_have_consecutive_seeds(bench: Any) -> None:
    job = bench.join(prompt="owl", seed=2**53 - 1, steps=4, images=2)
    first, second = bench.pngs(job)
    assert [p.seed for p in bench.rendered_by[job]] == [2**53 - 1, 0]
    assert second == bench.alone(prompt="owl", seed=0, steps=4)[0]
    assert first != second


def test_large_seeds_do_not_repeat_small_ones() -> None:
    shape = (4, 8, 8)
    small, large = SeededNoise(7, shape)(), SeededNoise(7 + 2**32, shape)()
    assert torch.equal(small, torch.randn(shape, generator=torch.Generator().manual_seed(7)))
    assert not torch.equal(small, large)
    assert torch.equal(large, SeededNoise(7 + 2**32, shape)())


request_fields = st.fixed_dictionaries(
    {
        "prompt": st.sampled_from(["cat", "a purple fox", "rocket, 3d style", "pizza"]),
        "seed": st.integers(0, 5),
        "steps": st.integers(1, 5),
        "sampler": st.sampled_from(["euler", "euler_ancestral", "heun", "dpmpp_2m"]),
        "schedule": st.sampled_from(["normal", "karras"]),
        "guidance": st.sampled_from([1.0, 4.0]),
        "images": st.integers(1, 2),
        "model": st.sampled_from(["calotype-emoji", TINY]),
    },
    optional={"strength": st.floats(0.05, 1)},  # it then starts from a picture
)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(jobs=st.lists(request_fields, min_size=3, max_size=9), data=st.data())
def test_no_picture_depends_on_its_company(bench: Any, jobs: list[dict[str, Any]], data: st.DataObject) -> None:
    people = st.sampled_from(["a", "b", "c"])
    picture = bench.store.put(PICTURE)
    jobs = [fields | ({"init_image": picture} if "strength" in fields else {}) for fields in jobs]
    ids = [bench.join(data.draw(people), **fields) for fields in jobs]
    together = [bench.pngs(job) for job in ids]
    for fields, pictures in zip(jobs, together, strict=True):
        assert bench.alone(**fields) == pictures, fields


def test_a_light_user_starts_at_the_next_tick_behind_a_batch(bench: Any) -> None:
    heavy = [bench.join("heavy", steps=30, seed=i) for i in range(6)]
    bench.wait(lambda: bench.steps[heavy[0]])
    light = bench.join("light", steps=2)
    bench.pngs(light)
    assert sum(job in bench.rendered_by for job in heavy) == 0, "the batch was waited for"
    for job in heavy:
        bench.host.cancel(job)


def test_cancel_acts_at_once_and_nothing_more_is_heard(bench: Any) -> None:
    job = bench.join(steps=150)
    bench.wait(lambda: len(bench.steps[job]) >= 2)
    bench.host.cancel(job)
    after = bench.join(steps=2)
    bench.pngs(after)
    heard = len(bench.steps[job])
    bench.pngs(bench.join(steps=3))
    assert heard < 20
    assert len(bench.steps[job]) == heard
    assert job not in bench.rendered_by
    assert job not in bench.failures


def test_previews_grow_into_the_picture(bench: Any) -> None:
    job = bench.join(prompt="panda", seed=3, steps=40)
    picture = Image.open(io.BytesIO(bench.pngs(job)[0])).convert("RGB").resize((16, 16), Image.Resampling.BOX)
    previews = bench.previews[job]
    assert len(previews) >= 3
    assert previews[0].rgb.shape == (16, 16, 3)
    distances = [np.abs(p.rgb.astype(float) - np.asarray(picture, dtype=float)).mean() for p in previews]
    assert distances[-1] < 20
    assert distances[-1] < distances[0]
    assert previews[-1].jpeg(128)[:2] == b"\xff\xd8"


def test_a_prompt_that_does_not_fit_says_so(bench: Any) -> None:
    job = bench.join(prompt="cat " * 200, steps=1)
    bench.pngs(job)
    lost = 200 - 8 * 22
    assert bench.rendered_by[job][0].notes[0] == f"the last {lost} tokens of the prompt did not fit and were not read"


def test_a_word_that_was_not_taught_is_told_at_the_start_and_with_every_picture(bench: Any) -> None:
    job = bench.join(prompt="a xqzptv", steps=2, images=2)
    bench.pngs(job)
    (hint,) = bench.notes[job]
    assert '"xqzptv"' in hint
    assert [picture.notes for picture in bench.rendered_by[job]] == [(hint,), (hint,)]


def test_nothing_is_told_of_what_is_not_wanted_nor_by_a_model_without_vocabulary(bench: Any) -> None:
    for fields in ({"prompt": "blue cat", "negative_prompt": "xqzptv"}, {"prompt": "xqzptv", "model": TINY}):
        job = bench.join(steps=1, **fields)
        bench.pngs(job)
        assert bench.notes[job] == ()
        assert bench.rendered_by[job][0].notes == ()


def test_a_hint_that_breaks_costs_no_picture(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = bench.alone(prompt="a xqzptv", seed=3, steps=1)
    monkeypatch.setattr(Hints, "hint", _raise)
    job = bench.join(prompt="a xqzptv", seed=3, steps=1)
    assert bench.pngs(job) == expected
    assert bench.notes[job] == ()


class Rogue(Sampler):
    name, label = "rogue", "Rogue"

    def __init__(self, behave: Callable[[torch.Tensor], Any]) -> None:
        self.behave = behave

    def calls(self, steps: int) -> int:
        return steps

    def run(self, x: torch.Tensor, sigmas: Any, noise: Any, params: Params) -> Sampling:
        estimate: Estimate = yield Query(x, sigmas[0])
        assert estimate.denoised.shape == x.shape
        yield self.behave(x)
        return x


def _raise(*args: object) -> Any:
    raise ZeroDivisionError("oops")


def _exit(x: torch.Tensor) -> Any:
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        (_raise, "raised ZeroDivisionError"),
        (lambda x: "garbage", "yielded str"),
        (lambda x: Query(x * float("nan"), 1.0), "NaN"),
        (lambda x: Query(x[:, :2], 1.0), "not (12, 16, 16)"),
        (lambda x: Query(x.double(), 1.0), "float64"),
        (lambda x: Query(x, 0.0), "asked at sigma 0.0"),
        (lambda x: Query(x, None), "asked at sigma None"),  # type: ignore[arg-type]
        (_exit, "raised SystemExit"),
    ],
)
def test_a_misbehaving_sampler_fails_alone(bench: Any, behave: Any, reason: str) -> None:
    expected = bench.alone(seed=11, steps=6)
    good = bench.assignment("good", seed=11, steps=6)
    rogue: Assignment = replace(bench.assignment("rogue", steps=6), sampler=Rogue(behave), sampler_params=NoParams())
    bench.host.join(rogue)
    bench.host.join(good)
    assert reason in bench.failure(rogue.job_id)
    assert bench.pngs(good.job_id) == expected


def test_a_sampler_that_asks_too_often_is_stopped(bench: Any) -> None:
    greedy = Rogue(lambda x: Query(x, 0.5))
    rogue = replace(bench.assignment(steps=1), sampler=greedy, sampler_params=NoParams())
    bench.host.join(rogue)
    assert "asks more than the 1 times" in bench.failure(rogue.job_id)


def test_a_fault_of_our_own_ends_the_jobs_that_are_here_but_not_the_engine(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(bench, "stepped", broken)
    assert "something went wrong" in bench.failure(bench.join(steps=2))
    monkeypatch.undo()
    bench.alone(steps=1)


class Broken(PostProcessor):
    name, label = "broken", "Broken"
    answer: ClassVar[Any] = None

    def process(self, image: Image.Image, info: PictureInfo, params: Params) -> Image.Image:
        image.paste((0, 0, 0), (0, 0, 10, 10))  # what it did to its copy must not show
        if self.answer is None:
            raise RuntimeError("no film left")
        return self.answer  # type: ignore[no-any-return]


@pytest.mark.parametrize("answer", [None, "not a picture", Image.new("L", (8, 8))])
def test_a_broken_postprocessor_is_skipped_and_said(bench: Any, answer: Any) -> None:
    expected = bench.alone(seed=5, steps=2)
    assignment = bench.assignment(seed=5, steps=2)
    broken = Broken()
    broken.answer = answer  # type: ignore[misc]
    chain = [*assignment.postprocess, (broken, NoParams())]
    assignment = replace(assignment, postprocess=chain)
    bench.host.join(assignment)
    assert bench.pngs(assignment.job_id) == expected
    assert bench.rendered_by[assignment.job_id][0].notes[0].startswith("Broken was skipped: ")
