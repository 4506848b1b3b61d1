"""Row counts that agree bit for bit."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from calotype.checkpoint import EMBEDDED, inspect
from calotype.engine.exact import CANDIDATES, FixedRowsLinear, bucket_for, fix_small_linears, probe_buckets
from calotype.engine.models import Key


def test_fixed_rows_linear_equals_linear_and_ignores_its_company() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(48, 192)
    fixed = FixedRowsLinear(linear)
    x = torch.randn(13, 48)
    whole = fixed(x)
    assert torch.allclose(whole, linear(x), atol=1e-5)
    for rows in range(1, 14):
        assert torch.equal(fixed(x[:rows]), whole[:rows])
    three_d = torch.randn(2, 5, 48)
    assert torch.equal(fixed(three_d), linear(three_d))


def test_fix_small_linears_keeps_weights_and_reaches_every_layer() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 2)))
    before = [p.data_ptr() for p in module.parameters()]
    fix_small_linears(module)
    assert [p.data_ptr() for p in module.parameters()] == before
    assert not any(type(m) is nn.Linear for m in module.modules())


def test_probe_takes_the_largest_agreeing_group() -> None:
    def call(rows: Sequence[int]) -> torch.Tensor:
        """A model whose bits change from 8 rows on."""
        error = 2**-23 if len(rows) >= 8 else 0.0
        return torch.tensor([[row + 1 + error] * 3 for row in rows])

    assert probe_buckets(call, (2, 3, 4, 6, 8, 12)) == (2, 3, 4, 6)
    assert probe_buckets(call, (6, 8, 12)) == (), "a lone job would be padded to eight rows"
    assert probe_buckets(call, (2, 8)) == (), "one count alone is nothing to share"


def test_probe_refuses_counts_at_which_the_place_matters() -> None:
    def call(rows: Sequence[int]) -> torch.Tensor:
        """A model whose last row of five or more comes out otherwise, as on three threads."""
        out = torch.tensor([[row + 1.0] for row in rows])
        if len(rows) > 4:
            out[-1] += 2**-23
        return out

    assert probe_buckets(call, (2, 3, 4, 6, 8)) == (2, 3, 4)


@pytest.mark.parametrize(("rows", "bucket"), [(1, 2), (2, 2), (5, 6), (12, 12), (40, 12)])
def test_bucket_for(rows: int, bucket: int) -> None:
    assert bucket_for(rows, (2, 3, 4, 6, 8, 12)) == bucket


def test_the_embedded_model_has_room_to_batch(bench: object) -> None:
    bench.alone(steps=1)  # type: ignore[attr-defined]
    model = bench.host._shelf.find(inspect(EMBEDDED))  # type: ignore[attr-defined]
    for tokens in (24, 48):  # of a prompt within the text encoder's window, and of one of two windows
        key = Key((12, 16, 16), (("hidden", (tokens, 256)),))
        buckets = model.buckets(key)
        assert set(buckets) <= set(CANDIDATES)
        assert len(buckets) >= 2
        assert model.knows(key)


MANY_THREADS = """
import json, sys, threading
sys.path[:0] = json.loads(sys.argv[2])
import conftest_of_engine as c
from calotype.catalog import Catalog
from calotype.checkpoint import EMBEDDED, inspect
from calotype.plugins.registry import Registry
bench = c.Bench(Catalog(Registry.discover(), [inspect(EMBEDDED)]), slots=4, threads=int(sys.argv[1]))
picture = bench.store.put(bench.alone(seed=9, steps=3)[0])
jobs = [dict(seed=seed, steps=4, guidance=1.0 if seed == 2 else 4.0) for seed in range(5)]
jobs[1:1] = [dict(seed=seed, steps=5, init_image=picture, strength=0.7) for seed in range(2)]
jobs[3:3] = [dict(seed=seed, steps=3, prompt="(blue:1.3) cat, " * 10) for seed in range(2)]
ids = [bench.join(f"person {n}", **job) for n, job in enumerate(jobs)]
together = [bench.pngs(job) for job in ids]
assert [bench.alone(**job) for job in jobs] == together
bench.host.close()
"""


@pytest.mark.parametrize("threads", [2, 3])
def test_pictures_are_the_same_in_company_on_more_threads(threads: int, tmp_path: Path) -> None:
    # in a process of its own: a process has one number of threads
    (tmp_path / "conftest_of_engine.py").write_text(Path(__file__).with_name("conftest.py").read_text("utf-8"), "utf-8")
    command = [sys.executable, "-c", MANY_THREADS, str(threads), json.dumps([str(tmp_path)])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
