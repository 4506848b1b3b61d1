"""``calotype bench``: measures this machine and recommends slots and threads. Changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Final

import typer

from calotype.catalog import Catalog
from calotype.errors import CalotypeError
from calotype.request import Request

_SLOTS: Final = (1, 2, 4, 8, 16)
_JOBS: Final = 16
_ROUNDS: Final = 3
_NEAR: Final = 0.95
"""Settings that reach so much of the best rate are as good: then fewer slots, and fewer threads, are better."""


@dataclass(frozen=True)
class Measured:
    """One setting. ``rate`` is in model steps a second over all jobs, ``wait_s`` is one model call."""

    threads: int
    slots: int
    rate: float
    wait_s: float
    cpu_share: float
    """CPU time over wall time."""


def bench(model: str | None, steps: int, device: str) -> list[Measured]:
    """Every number of threads in a process of its own, each at several slots. Raises :class:`CalotypeError`."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    counts = sorted({1, min(2, cores), cores}) if device in ("auto", "cpu") else [1]
    env = os.environ | ({"CALOTYPE_MODEL": model} if model else {})
    found: list[Measured] = []
    for threads in counts:
        typer.echo(f"measuring with {threads} thread{'s' * (threads > 1)} …", err=True)
        command = [sys.executable, "-m", "calotype.cli_bench", str(threads), str(steps), device]
        done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 - ourselves
        if done.returncode:
            raise CalotypeError(f"bench: measuring with {threads} threads failed; the lines above say why")
        found += [Measured(**row) for row in json.loads(done.stdout.splitlines()[-1])]
    return found


def recommended(rows: list[Measured]) -> Measured:
    """The fewest threads, then the fewest slots, that come near the best rate."""
    best = max(row.rate for row in rows)
    return min((row for row in rows if row.rate >= _NEAR * best), key=lambda row: (row.threads, row.slots))


def measure(catalog: Catalog, threads: int, steps: int, device: str) -> list[Measured]:
    """Each number of slots: the median of three bursts of sixteen jobs, after one that warms up."""
    from calotype.measuring import Stand

    requests = [
        catalog.resolve(Request(prompt=f"picture {number}", seed=number, steps=steps, sampler="euler"))
        for number in range(_JOBS)
    ]
    rows = []
    for slots in _SLOTS:
        stand = Stand(catalog, device=device, threads=threads, slots=slots)
        stand.burst(requests[:slots])
        burst = sorted((stand.burst(requests) for _ in range(_ROUNDS)), key=lambda each: each.wall)[_ROUNDS // 2]
        stand.close()
        rate = _JOBS * steps / burst.wall
        rows.append(Measured(threads, slots, round(rate, 2), round(slots / rate, 4), round(burst.cpu / burst.wall, 2)))
        typer.echo(f"  {slots} slots: {rate:.1f} steps/s", err=True)
    return rows


def show(rows: list[Measured]) -> str:
    """The table and what follows from it."""
    lines = ["threads  slots  steps/s  one call  CPU/wall"]
    lines += [f"{r.threads:7}  {r.slots:5}  {r.rate:7.1f}  {r.wait_s * 1000:5.0f} ms  {r.cpu_share:8.2f}" for r in rows]
    best = recommended(rows)
    gain = best.rate / next(row.rate for row in rows if row.threads == best.threads and row.slots == 1)
    lines.append(f"recommended: CALOTYPE_THREADS={best.threads} CALOTYPE_SLOTS={best.slots}")
    lines.append(
        f"(sharing calls makes {gain:.2f} times the pictures of one at a time. Another number of threads may give "
        "other bits for the same seed: choose it once)"
    )
    return "\n".join(lines)


def _child() -> None:
    from calotype.bootstrap import catalog_for
    from calotype.config import Settings

    threads, steps, device = sys.argv[1:]
    rows = measure(catalog_for(Settings.load()), int(threads), int(steps), device)
    sys.stdout.write(json.dumps([asdict(row) for row in rows]) + "\n")


if __name__ == "__main__":
    _child()
