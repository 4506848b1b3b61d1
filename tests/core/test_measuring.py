"""The stand that measures: real jobs on the real engine, each timed, the bytes those of any other way."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from calotype.catalog import Catalog
from calotype.checkpoint import EMBEDDED, inspect
from calotype.engine.models import LoadedModel
from calotype.errors import CalotypeError
from calotype.measuring import Stand
from calotype.plugins.registry import Registry
from calotype.request import Request
from checkpoints import edit_json
from serving import until


@pytest.fixture(scope="module")
def stand(registry: Registry) -> Iterator[Stand]:
    with Stand(Catalog(registry, [inspect(EMBEDDED)]), device="cpu", threads=1, slots=4) as stand:
        yield stand


def requests(registry: Registry, count: int) -> list[Request]:
    catalog = Catalog(registry, [inspect(EMBEDDED)])
    return [catalog.resolve(Request(prompt=f"cat {n}", seed=n, steps=3)) for n in range(count)]


def test_a_burst_times_every_job(stand: Stand, registry: Registry) -> None:
    burst = stand.burst(requests(registry, 5))
    assert len(burst.jobs) == 5
    for job in burst.jobs:
        assert 0 < job.started <= job.first_preview <= job.stepped <= job.finished <= burst.wall
        assert job.pngs[0].startswith(b"\x89PNG")
    assert burst.cpu > 0


def test_a_burst_gives_the_bytes_of_a_lone_job(stand: Stand, registry: Registry) -> None:
    wanted = requests(registry, 3)
    together = stand.burst(wanted, ["ada", "ada", "bob"])
    assert [stand.burst([request]).jobs[0].pngs for request in wanted] == [job.pngs for job in together.jobs]


def test_a_job_that_fails_is_told(stand: Stand, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    [request] = requests(registry, 1)
    sampler = registry.samplers[request.sampler or ""]
    monkeypatch.setattr(type(sampler), "run", lambda *_: iter(()))
    with pytest.raises(CalotypeError, match="a job of the burst failed"):
        stand.burst([request])


def test_what_is_left_of_a_burst_that_failed_disturbs_no_other(
    stand: Stand, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    short, *others = requests(registry, 4)
    wanted = stand.burst([short]).jobs[0].pngs
    plain = {name: chosen for name, chosen in short.options.items() if name not in registry.samplers}
    slow = [request.model_copy(update={"sampler": "heun", "steps": 100, "options": plain}) for request in others]
    bad = short.model_copy(update={"sampler": "euler", "options": plain})
    with monkeypatch.context() as patched:
        patched.setattr(type(registry.samplers["euler"]), "run", lambda *_: iter(()))
        with pytest.raises(CalotypeError, match="a job of the burst failed"):
            stand.burst([bad, *slow])
    begun = time.perf_counter()
    assert stand.burst([short]).jobs[0].pngs == wanted
    assert time.perf_counter() - begun < 3 * 2 * 100 * 0.02, "the jobs left over were not called off"


def test_denoising_is_without_what_follows(stand: Stand, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = LoadedModel.decode

    def slow(*args: object) -> object:
        time.sleep(0.5)
        return decode(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(LoadedModel, "decode", slow)
    burst = stand.burst(requests(registry, 3))
    assert 0 < burst.denoising <= burst.wall - 3 * 0.5
    assert 0 < burst.denoising_cpu < burst.cpu


def test_a_model_that_cannot_be_loaded_leaves_no_thread_behind(
    registry: Registry, tiny_sd1: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_sd1, folder := tmp_path / "model")
    edit_json(folder / "unet" / "config.json", cross_attention_dim=64)
    before = threading.active_count()
    with pytest.raises(CalotypeError, match="could not be loaded"):
        Stand(Catalog(registry, [inspect(folder)]), device="cpu", threads=1, slots=1)
    until(lambda: threading.active_count() <= before, "the end of the engine's threads")
