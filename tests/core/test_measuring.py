"""The stand that measures: real jobs on the real engine, each timed, the bytes those of any other way."""

from __future__ import annotations

import pytest

from calotype.catalog import Catalog
from calotype.checkpoint import EMBEDDED, inspect
from calotype.cli_bench import Measured, recommended, show
from calotype.errors import CalotypeError
from calotype.measuring import Stand
from calotype.plugins.registry import Registry
from calotype.request import Request


@pytest.fixture(scope="module")
def stand(registry: Registry) -> Stand:
    return Stand(Catalog(registry, [inspect(EMBEDDED)]), device="cpu", threads=1, slots=4)


def requests(registry: Registry, count: int) -> list[Request]:
    catalog = Catalog(registry, [inspect(EMBEDDED)])
    return [catalog.resolve(Request(prompt=f"cat {n}", seed=n, steps=3)) for n in range(count)]


def test_a_burst_times_every_job(stand: Stand, registry: Registry) -> None:
    burst = stand.burst(requests(registry, 5))
    assert len(burst.jobs) == 5
    for job in burst.jobs:
        assert 0 < job.started <= job.first_preview <= job.finished <= burst.wall
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
