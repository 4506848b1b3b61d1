"""``calotype bench``: what it measures is the denoising, within a time, and what it recommends follows from it."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import pytest

from calotype import cli
from calotype.catalog import Catalog
from calotype.checkpoint import inspect
from calotype.cli_bench import Measured, Plan, Trial, _requests, _understood, measure, planned, recommended, show
from calotype.engine.models import LoadedModel
from calotype.errors import CalotypeError, ModelError, SetupError
from calotype.measuring import Burst, Stand
from calotype.plugins.registry import Registry
from checkpoints import edit_json
from serving import calotype

ALL = (1, 2, 4, 8, 16)


def test_the_command_measures_the_embedded_model(tmp_path: Path) -> None:
    tiny = ("--steps", "1", "--threads", "1", "--slots", "1", "--slots", "2")
    ran = calotype("bench", *tiny, home=tmp_path / "home", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    table = re.findall(r"^ +1 +(\d) +([\d.]+) +(\d+) ms +[\d.]+$", ran.stdout, re.MULTILINE)
    assert [slots for slots, _, _ in table] == ["1", "2"]
    assert all(float(rate) > 0 and float(step) > 0 for _, rate, step in table)
    assert re.search(r"^recommended: CALOTYPE_THREADS=1 CALOTYPE_SLOTS=[12]$", ran.stdout, re.MULTILINE)
    assert list(tmp_path.iterdir()) == [], "it changes nothing"


def test_an_error_of_the_child_is_one_line(
    tiny_sd1: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_sd1, folder := tmp_path / "model")
    edit_json(folder / "unet" / "config.json", cross_attention_dim=64)  # only who loads it can see that
    monkeypatch.setenv("CALOTYPE_HOME", str(tmp_path / "home"))
    assert cli.main(["bench", "--model", str(folder), "--threads", "1"]) == 2
    begun, line = capfd.readouterr().err.splitlines()
    assert begun == "measuring with 1 thread …"
    assert line.startswith("error: model: "), line


def test_what_a_child_says_is_understood() -> None:
    assert _understood('noise\n{"rows": []}\n', 1) == []
    with pytest.raises(SetupError, match=r"^CALOTYPE_DEVICE: cuda"):
        _understood('{"error": "CALOTYPE_DEVICE: cuda is not there", "yours": true}', 1)
    with pytest.raises(CalotypeError, match=r"^bench: a job of the burst failed") as caught:
        _understood('{"error": "a job of the burst failed: why", "yours": false}', 1)
    assert not isinstance(caught.value, SetupError | ModelError)
    for said in ("", "Killed", "{"):
        with pytest.raises(CalotypeError, match="with 3 threads failed"):
            _understood(said, 3)


def test_post_processors_are_off(catalog: Catalog) -> None:
    requests = _requests(catalog, 2, 3)
    assert [catalog.postprocess_chain(request) for request in requests] == [[], []]
    assert [(request.steps, request.sampler, request.prompt) for request in requests] == [(3, "euler", "cat")] * 2


def test_a_rate_is_that_of_the_denoising(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    decode, burst = LoadedModel.decode, Stand.burst
    bursts: list[Burst] = []

    def slow(*args: object) -> object:
        time.sleep(1)
        return decode(*args)  # type: ignore[arg-type]

    def heard(*args: object) -> Burst:
        bursts.append(burst(*args))  # type: ignore[arg-type]
        return bursts[-1]

    monkeypatch.setattr(LoadedModel, "decode", slow)
    monkeypatch.setattr(Stand, "burst", heard)
    (row,) = measure(catalog, "cpu", 1, 1, slots=(1,), budget=0)
    _trial, measured = bursts
    assert measured.wall - measured.denoising > 1
    assert row.rate == pytest.approx(1 / measured.denoising, rel=0.01)
    assert 0 < row.wait_s <= measured.denoising


def test_a_model_whose_pictures_share_no_calls_is_measured_at_one_slot(
    registry: Registry, tiny_sd1: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calotype.engine.models.PROBE_LIMIT", 0)
    rows = measure(Catalog(registry, [inspect(tiny_sd1)]), "cpu", 1, 8, budget=0)
    assert [(row.slots, row.shared) for row in rows] == [(1, False)]
    told = show(rows)
    assert "share no calls" in told
    assert "CALOTYPE_SLOTS" not in told


@pytest.mark.parametrize(
    ("trial", "plan"),
    [
        (Trial(1, 0.03, 0.02, True), Plan(ALL, 3, 8)),  # the embedded model
        (Trial(1, 0.15, 0.05, True), Plan(ALL, 1, 8)),
        (Trial(1, 0.5, 0.05, True), Plan(ALL, 1, 2)),
        (Trial(1, 2, 0.5, True), Plan(ALL[:3], 1, 4)),
        (Trial(10, 1, 1, False), Plan((1,), 3, 8)),
        (Trial(30, 20, 15, False), Plan((1,), 1, 5)),  # Stable Diffusion 1.5 on two slow cores
        (Trial(90, 300, 60, False), Plan((1,), 1, 1)),
        (Trial(90, 300, 60, True), Plan((1,), 1, 1)),
    ],
)
def test_a_plan_fits_into_its_time(trial: Trial, plan: Plan) -> None:
    assert planned(trial, ALL, 8, 120) == plan
    assert plan.seconds(trial) <= 120 or (plan.jobs, plan.steps) == (1, 1)


def test_few_steps_are_enough_if_few_are_asked_for() -> None:
    assert planned(Trial(1, 0.03, 0.02, True), (1, 2), 1, 120) == Plan((1, 2), 3, 1)


def rows(**rates: float) -> list[Measured]:
    return [
        Measured(int(name[1]), int(name[3:]), rate, round(int(name[3:]) / rate, 4), 1.0) for name, rate in rates.items()
    ]


def test_the_fewest_threads_and_slots_near_the_best_are_recommended() -> None:
    measured = rows(t1s1=10, t1s4=19.5, t1s8=20, t2s1=12, t2s8=20.4)
    best = recommended(measured)
    assert (best.threads, best.slots) == (1, 4)
    told = show(measured)
    assert "CALOTYPE_THREADS=1 CALOTYPE_SLOTS=4" in told
    assert "1.95 times" in told


def test_more_threads_are_recommended_where_they_pay() -> None:
    best = recommended(rows(t1s1=10, t1s8=11, t2s1=18, t2s8=21))
    assert (best.threads, best.slots) == (2, 8)
