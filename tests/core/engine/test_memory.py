"""Memory: which models stay, how large a call may be, and what happens if one was too large after all."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from calotype.catalog import Catalog
from calotype.checkpoint import EMBEDDED, inspect, weights_size
from calotype.engine import memory
from calotype.engine.models import Key, LoadedModel, load
from calotype.engine.shelf import Shelf
from calotype.families.network import Inputs
from calotype.plugins.registry import Registry

CPU = torch.device("cpu")
TINY = "tiny-sd1"


@pytest.fixture(scope="module")
def tiny(tiny_sd1: Path) -> LoadedModel:
    return load(inspect(tiny_sd1), CPU)


def copies(model: LoadedModel, count: int) -> list[LoadedModel]:
    """The same model as if it lay in so many folders."""
    infos = [replace(model.info, name=f"m{place}", folder=Path(f"/m{place}")) for place in range(count)]
    return [replace(model, info=info) for info in infos]


def kept(shelf: Shelf) -> list[str]:
    return [folder.name for folder in shelf._kept]


def test_a_models_size_is_that_of_its_weights(tiny: LoadedModel) -> None:
    assert weights_size(tiny.info) * 0.9 < tiny.size < weights_size(tiny.info) * 1.1


def test_the_least_recently_used_goes_first(tiny: LoadedModel, caplog: pytest.LogCaptureFixture) -> None:
    shelf, models = Shelf(3 * tiny.size), copies(tiny, 5)
    for model in models[:3]:
        shelf.keep(model)
    assert shelf.find(models[0].info) is models[0]
    with caplog.at_level(logging.INFO, "calotype"):
        shelf.keep(models[3])
    assert kept(shelf) == ["m2", "m0", "m3"]
    assert "CALOTYPE_MODEL_MEMORY" in caplog.text
    del models[1]  # nobody has it any more
    shelf.keep(models[3], in_use={Path("/m2"), Path("/m0")})
    assert kept(shelf) == ["m2", "m0", "m4"], "one that is in use takes its memory all the same"
    del models[2]
    shelf.make_room(tiny.size, in_use={Path(f"/m{place}") for place in range(5)})
    assert kept(shelf) == ["m0", "m4"], "if no other can go, the oldest of them"
    models.clear()
    del model
    shelf.make_room(2 * tiny.size)
    assert kept(shelf) == ["m4"]


def test_one_is_kept_though_it_is_too_large_and_one_in_use_is_found(tiny: LoadedModel) -> None:
    shelf = Shelf(1)
    first, second = copies(tiny, 2)
    shelf.keep(first)
    assert kept(shelf) == ["m0"]
    shelf.keep(second)
    assert kept(shelf) == ["m1"]
    assert shelf.names() == {"m0", "m1"}
    assert shelf.find(first.info) is first, "jobs still use it: it is not loaded a second time"
    shelf.keep(second)
    there = weakref.ref(first)
    info = first.info
    del first
    gc.collect()
    assert there() is None
    assert shelf.find(info) is None
    assert shelf.names() == {"m1"}


def test_what_was_taken_off_counts_while_it_is_used_and_comes_back(tiny: LoadedModel) -> None:
    shelf, models = Shelf(2 * tiny.size), copies(tiny, 3)
    shelf.keep(models[0])
    shelf.keep(models[1])
    shelf.keep(models[2])
    assert kept(shelf) == ["m1", "m2"]
    assert shelf.find(models[0].info) is models[0], "somebody still uses it"
    assert kept(shelf) == ["m1", "m2", "m0"], "so it is kept again, until room is made"
    shelf.make_room(0)
    assert kept(shelf) == ["m2", "m0"], "three are in memory, two may be"


def test_what_was_frozen_is_let_go_of_when_its_model_is_evicted(tiny_sd1: Path, tiny: LoadedModel) -> None:
    shelf = Shelf(1)
    model = load(inspect(tiny_sd1), CPU)
    parts = [weakref.ref(part) for part in model.network.modules()]
    shelf.keep(model)
    gc.collect()
    gc.freeze()  # as a service does once it is up
    try:
        del model
        (other,) = copies(tiny, 1)
        shelf.keep(other)
        gc.collect()
        assert [part() for part in parts] == [None] * 3
    finally:
        gc.unfreeze()


def test_files_that_the_kernel_caches_are_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's count of used memory holds the files that it has read: weights, above all."""
    for name, text in {
        "memory.max": "1000000\n",
        "memory.current": "900000\n",
        "memory.stat": "anon 100000\nfile 800000\ninactive_file 500000\nactive_file 200000\n",
    }.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    assert memory.total(CPU) == 1_000_000
    assert memory.free_now(CPU) == 800_000
    (tmp_path / "memory.stat").unlink()
    assert memory.free_now(CPU) == 100_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_now(CPU) > 1_000_000


def test_a_host_keeps_to_the_budget(bench: Any, registry: Registry, tiny_sd1: Path) -> None:
    catalog = Catalog(registry, [inspect(EMBEDDED), inspect(tiny_sd1)])
    small = type(bench)(catalog, slots=4, model_memory=1)
    try:
        for fields in ({"model": TINY, "steps": 2, "seed": 1}, {"steps": 2, "seed": 1}) * 2:
            assert small.alone(**fields) == bench.alone(**fields)
            small.wait(lambda: len(small.host._shelf._kept) == 1)
    finally:
        small.host.close()


def test_the_peak_of_a_call_grows_with_its_rows(tiny: LoadedModel) -> None:
    model = load(inspect(EMBEDDED), CPU)
    shape = model.latent_shape(64, 64)

    def call(rows: int) -> Callable[[], object]:
        hidden = torch.zeros(rows, model.info.tokens, 256)
        inputs = torch.zeros(rows, *shape), torch.full((rows,), 500.0), {"hidden": hidden}
        return lambda: model.predict(*inputs)

    two, eight = memory.peak(CPU, call(2)), memory.peak(CPU, call(8))
    assert two > 2 * 1000 * 100
    assert 3.5 < eight / two < 4.5
    assert memory.peak(CPU, lambda: torch.zeros(1000)) == 4000
    assert 0 < memory.free(CPU) <= memory.total(CPU)


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Rows of every model call."""
    seen: list[int] = []
    predict = LoadedModel.predict

    def noted(self: LoadedModel, x: torch.Tensor, *more: Any) -> torch.Tensor:
        seen.append(len(x))
        return predict(self, x, *more)

    monkeypatch.setattr(LoadedModel, "predict", noted)
    return seen


def in_company(bench: Any, jobs: int = 4) -> tuple[list[list[bytes]], list[list[bytes]]]:
    fields = [{"seed": seed, "steps": 6, "sampler": "euler_ancestral"} for seed in range(jobs)]
    alone = [bench.alone(**each) for each in fields]
    together = [bench.join(f"p{place}", **each) for place, each in enumerate(fields)]
    return alone, [bench.pngs(job) for job in together]


@pytest.mark.parametrize(("rows", "most"), [(0.0, 2), (4.5, 4), (100.0, 8)])
def test_calls_keep_to_what_is_free(
    bench: Any, sizes: list[int], monkeypatch: pytest.MonkeyPatch, rows: float, most: int
) -> None:
    model = bench.host._shelf.find(inspect(EMBEDDED))
    key = Key(model.latent_shape(64, 64), (("hidden", (model.info.tokens, 256)),))
    row = model._row_bytes[key]
    assert row > 100_000
    assert {2, 4, 8} <= set(model.buckets(key))
    monkeypatch.setattr(memory, "free", lambda device: int(rows * row / memory.CALL_SHARE))
    alone, together = in_company(bench)
    assert together == alone
    assert max(sizes) == most


def test_out_of_memory_is_halved_and_the_bytes_stay(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, _ = in_company(bench)
    predict = LoadedModel.predict
    failed: list[int] = []

    def small(self: LoadedModel, x: torch.Tensor, *more: Any) -> torch.Tensor:
        if len(x) > 4:
            failed.append(len(x))
            raise torch.OutOfMemoryError("no memory for this")
        return predict(self, x, *more)

    monkeypatch.setattr(LoadedModel, "predict", small)
    assert in_company(bench) == (alone, alone)
    assert failed


def test_only_what_cannot_be_run_at_all_fails(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    alone, _ = in_company(bench)
    predict = LoadedModel.predict

    def picky(self: LoadedModel, x: torch.Tensor, t: torch.Tensor, inputs: Inputs, *_: Any) -> torch.Tensor:
        if any(torch.equal(row, marks) for row in inputs["hidden"]):
            raise torch.OutOfMemoryError("no memory for this one")
        return predict(self, x, t, inputs)

    model = bench.host._shelf.find(inspect(EMBEDDED))
    marks = bench.host._encoder.encode(model, "a green owl").hidden
    monkeypatch.setattr(LoadedModel, "predict", picky)
    fields = [{"seed": seed, "steps": 6, "sampler": "euler_ancestral"} for seed in range(4)]
    culprit = bench.join("culprit", prompt="a green owl", steps=6)
    jobs = [bench.join(f"p{place}", **each) for place, each in enumerate(fields)]
    assert "needs more memory than this machine has" in bench.failure(culprit)
    assert [bench.pngs(job) for job in jobs] == alone
