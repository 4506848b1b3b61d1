"""Row counts that agree bit for bit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from calotype.engine.exact import CANDIDATES, FixedRowsLinear, bucket_for, fix_small_linears, probe_buckets


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
    # a model whose bits change from 8 rows on
    def call(rows: int) -> torch.Tensor:
        return torch.full((rows, 3), 1.0 if rows < 8 else 1.0 + 2**-23)

    assert probe_buckets(call, (2, 3, 4, 6, 8, 12)) == (2, 3, 4, 6)
    assert probe_buckets(call, (4, 8, 12, 16)) == (8, 12, 16)


@pytest.mark.parametrize(("rows", "bucket"), [(1, 2), (2, 2), (5, 6), (12, 12), (40, 12)])
def test_bucket_for(rows: int, bucket: int) -> None:
    assert bucket_for(rows, (2, 3, 4, 6, 8, 12)) == bucket


def test_the_embedded_model_has_room_to_batch(bench: object) -> None:
    bench.alone(steps=1)  # type: ignore[attr-defined]
    model = next(m for m in bench.host._models.values() if m.info.name == "calotype-emoji")  # type: ignore[attr-defined]
    buckets = model.buckets((12, 16, 16))
    assert set(buckets) <= set(CANDIDATES)
    assert len(buckets) >= 2
