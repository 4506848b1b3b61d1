"""What a record says of the machine, its libraries and the code."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from calotype.engine import conditions as engine_conditions
from calotype.engine.conditions import conditions


def test_whatever_shapes_bits_is_named() -> None:
    found = conditions(torch.device("cpu"), 3)
    assert (found["device"], found["threads"], found["png"]["level"]) == ("cpu", 3, 6)
    assert {"calotype", "torch", "diffusers", "transformers", "numpy", "pillow"} <= set(found["versions"])
    assert found["versions"]["torch"] == torch.__version__
    assert found["torch"]["cpu_capability"] == torch.backends.cpu.get_cpu_capability()
    assert found["machine"]["cpu"] and found["machine"]["arch"] and found["png"]["zlib"]
    assert len(found["engine_sha256"]) == 64
    assert json.loads(json.dumps(found)) == found, "plain values, as the ledger keeps them"
    assert conditions(torch.device("cpu"), 3) == found


def test_a_switch_of_the_libraries_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MKL_CBWR", raising=False)
    assert conditions(torch.device("cpu"), 1)["torch"]["mkl_cbwr"] == ""
    monkeypatch.setenv("MKL_CBWR", "COMPATIBLE")
    assert conditions(torch.device("cpu"), 1)["torch"]["mkl_cbwr"] == "COMPATIBLE"


def test_a_library_that_is_not_there_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_conditions, "_LIBRARIES", ("torch", "no-such-library"))
    assert set(conditions(torch.device("cpu"), 1)["versions"]) == {"calotype", "torch"}


def test_a_jobs_record_names_them(bench: Any) -> None:
    job = bench.join(steps=1)
    bench.pngs(job)
    record = bench.records[job]
    assert set(conditions(torch.device("cpu"), 1)) <= set(record)
    assert {"name", "family", "sha256"} == set(record["model"])
