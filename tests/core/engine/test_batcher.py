"""Latents are the same to the bit alone and in company, for whatever may share a model call."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from itertools import count
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from calotype.engine.batcher import tick
from calotype.engine.conditioning import TextEncoder
from calotype.engine.denoiser import Denoiser
from calotype.engine.fairness import Service
from calotype.engine.models import LoadedModel
from calotype.engine.run import Run
from calotype.engine.starting import StartEncoder
from calotype.families.network import Inputs
from calotype.plugins.registry import Registry

LONG = (
    "a blue cat with a red hat, in a yellow house, beside a green tree, under a purple umbrella, 3d style, flat style"
)


BUNDLED = Registry.discover()


class Bench:
    """Runs of the embedded model without a host: what is put together here is what the host does."""

    def __init__(self, bench: Any) -> None:
        self.model: LoadedModel = bench.model()
        self._bench = bench
        self._texts, self._starts = TextEncoder(), StartEncoder()
        self._alone: dict[str, torch.Tensor] = {}
        self.picture = bench.store.put(bench.alone(prompt="owl", seed=1, steps=3)[0])
        mask, buffer = Image.new("L", (64, 64)), io.BytesIO()
        ImageDraw.Draw(mask).ellipse((10, 5, 40, 50), fill=255)
        mask.save(buffer, "PNG")
        self.mask = bench.store.put(buffer.getvalue())

    def run(self, person: str = "p", **fields: Any) -> Run:
        assignment = self._bench.assignment(person, **fields)
        request = assignment.request
        prompt, negative = self._texts.pair(self.model, request.prompt, request.negative_prompt)
        denoiser = Denoiser(self.model, prompt.inputs, negative.inputs, request.guidance, request.guidance_rescale)
        return Run(assignment, 0, denoiser, self._starts.encode(self.model, assignment))

    def alone(self, **fields: Any) -> torch.Tensor:
        key = json.dumps(fields, sort_keys=True)
        if key not in self._alone:
            self._alone[key] = together([self.run(**fields)])[0]
        return self._alone[key]


def together(runs: Sequence[Run], joins: Sequence[int] = (), slots: int = 8) -> list[torch.Tensor]:
    """The latents of runs of which each joins at its own tick."""
    service = Service()
    for run in runs:
        service.arrive(run.assignment.person)
    for now in count():
        here = [run for run, at in zip(runs, joins or [0] * len(runs), strict=True) if at <= now and not run.done]
        chosen = service.choose(here, slots)
        assert tick(chosen) == {}
        if all(run.done for run in runs):
            return [run.latents for run in runs if run.latents is not None]
    raise AssertionError


@pytest.fixture(scope="module")
def own(bench: Any) -> Bench:
    return Bench(bench)


@pytest.fixture
def calls(own: Bench, monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """Shapes of the conditioning of every model call from now on."""
    made: list[torch.Size] = []
    real = LoadedModel.predict

    def predict(model: LoadedModel, x: torch.Tensor, t: torch.Tensor, inputs: Inputs, *_: Any) -> torch.Tensor:
        made.append(inputs["hidden"].shape)
        return real(model, x, t, inputs)

    monkeypatch.setattr(LoadedModel, "predict", predict)
    return made


def test_with_and_without_guidance_share_a_call(own: Bench, calls: list[torch.Size]) -> None:
    jobs: list[dict[str, Any]] = [
        {"prompt": "cat", "guidance": 1.0, "seed": 1, "steps": 3},
        {"prompt": "blue owl", "guidance": 4.0, "seed": 2, "steps": 3},
        {"prompt": "pizza", "guidance": 1.0, "seed": 3, "steps": 3},
        {"prompt": "(red:1.3) owl", "guidance": 2.0, "guidance_rescale": 0.0, "seed": 4, "steps": 3},
    ]
    alone = [own.alone(**job) for job in jobs]
    calls.clear()
    shared = together([own.run(**job) for job in jobs])
    assert [call[0] for call in calls] == [6, 6, 6], "six rows of four pictures in one call a step"
    for one, other in zip(alone, shared, strict=True):
        assert torch.equal(one, other)


def test_asking_without_the_prompt_takes_its_own_row_and_is_charged_for_it(own: Bench, calls: list[torch.Size]) -> None:
    jobs: list[dict[str, Any]] = [
        {"prompt": "cat", "guidance": 1.0, "seed": 1, "steps": 3, "sampler": sampler}
        for sampler in ("euler", "euler_cfg_pp")
    ]
    alone = [own.alone(**job) for job in jobs]
    calls.clear()
    runs = [own.run(**job) for job in jobs]
    shared = together(runs)
    assert [call[0] for call in calls] == [3, 3, 3], "one row for euler, two for the other"
    assert runs[1].row_cost == 2 * runs[0].row_cost
    for one, other in zip(alone, shared, strict=True):
        assert torch.equal(one, other)


def test_lengths_take_turns_and_a_short_prompt_stays_short(own: Bench, calls: list[torch.Size]) -> None:
    jobs: list[dict[str, Any]] = [
        {"prompt": "cat", "steps": 2, "seed": 1},
        {"prompt": LONG, "steps": 2, "seed": 2},
        {"prompt": "dog", "negative_prompt": LONG, "steps": 2, "seed": 3},
        {"prompt": "owl", "steps": 2, "seed": 4},
    ]
    alone = [own.alone(**job) for job in jobs]
    runs = [own.run(f"person {n}", **job) for n, job in enumerate(jobs)]
    assert [run.denoiser.prompt["hidden"].shape[0] for run in runs] == [24, 48, 48, 24]
    calls.clear()
    shared = together(runs)
    assert sorted(call[:2] for call in calls) == [(4, 24), (4, 24), (4, 48), (4, 48)]
    for one, other in zip(alone, shared, strict=True):
        assert torch.equal(one, other)


jobs_of_people = st.fixed_dictionaries(
    {
        "prompt": st.sampled_from(["cat", "a (blue:1.4) [cat]", "pizza, (flat style:0)", LONG, f"({LONG}:1.2) (x:2)"]),
        "negative_prompt": st.sampled_from(["", "", "(red:1.5)", LONG]),
        "seed": st.integers(0, 2),
        "steps": st.integers(1, 3),
        "sampler": st.sampled_from(sorted(BUNDLED.samplers)),
        "schedule": st.sampled_from(sorted(BUNDLED.schedules)),
        "guidance": st.sampled_from([1.0, 3.0, 7.5]),
        "guidance_rescale": st.sampled_from([0.0, 0.5]),
    },
    optional={"strength": st.sampled_from([0.4, 0.7, 1.0]), "mask": st.booleans()},
)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(jobs=st.lists(jobs_of_people, min_size=2, max_size=6), slots=st.integers(1, 8), data=st.data())
def test_no_latents_depend_on_their_company(
    own: Bench, jobs: list[dict[str, Any]], slots: int, data: st.DataObject
) -> None:
    for job in jobs:
        if "strength" in job:
            job["init_image"] = own.picture
        if job.pop("mask", False) and "strength" in job:
            job["mask"] = own.mask
    joins = data.draw(st.lists(st.integers(0, 4), min_size=len(jobs), max_size=len(jobs)))
    people = data.draw(st.lists(st.sampled_from("abc"), min_size=len(jobs), max_size=len(jobs)))
    shared = together([own.run(person, **job) for person, job in zip(people, jobs, strict=True)], joins, slots)
    for job, latents in zip(jobs, shared, strict=True):
        assert torch.equal(own.alone(**job), latents), job
