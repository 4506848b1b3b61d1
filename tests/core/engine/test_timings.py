"""What the record of a job says of its time."""

from __future__ import annotations

import time
from typing import Any

import pytest

from calotype.engine.models import LoadedModel


def test_the_models_seconds_are_the_models(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not those of a sampler that takes its time; and of pictures that share a call each call counts once."""
    euler, predict = type(bench.catalog.registry.samplers["euler"]), LoadedModel.predict
    run = euler.run

    def slow_run(self: Any, x: Any, sigmas: Any, noise: Any, params: Any) -> Any:
        sampling = run(self, x, sigmas, noise, params)
        query = next(sampling)
        while True:
            time.sleep(0.05)
            try:
                query = sampling.send((yield query))
            except StopIteration as stop:
                return stop.value

    spent = []

    def timed(*args: Any) -> Any:
        begun = time.perf_counter()
        answer = predict(*args)
        spent.append(time.perf_counter() - begun)
        return answer

    bench.alone(steps=1)  # loaded and probed before it is timed
    monkeypatch.setattr(euler, "run", slow_run)
    monkeypatch.setattr(LoadedModel, "predict", timed)
    job = bench.join(steps=4, images=3, sampler="euler", options={"upscale": False})
    bench.pngs(job)
    timings = bench.records[job]["timings"]
    assert timings["model_s"] == pytest.approx(sum(spent), abs=0.01)
    assert timings["model_s"] + 4 * 3 * 0.05 <= timings["ticks_s"] <= timings["denoising_s"] + 0.001
