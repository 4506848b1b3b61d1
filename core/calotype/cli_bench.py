"""``calotype bench``: measures this machine and recommends slots and threads. Changes nothing."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from calotype import logs
from calotype.bootstrap import catalog_for
from calotype.catalog import Catalog
from calotype.config import Settings
from calotype.errors import YOURS, CalotypeError, SetupError
from calotype.home import cores
from calotype.request import Request

if TYPE_CHECKING:
    from calotype.measuring import Stand

SLOTS: Final = (1, 2, 4, 8, 16)
BUDGET: Final = 120.0
"""Seconds that the measuring with one number of threads may take."""
_NEAR: Final = 0.95
"""Settings that reach so much of the best rate are as good: then fewer slots, and fewer threads, are better."""


@dataclass(frozen=True)
class Measured:
    """One setting. Decoding, post-processing and PNG files are in none of its figures."""

    threads: int
    slots: int
    rate: float
    """Sampling steps a second over all jobs, from the first job's start to the last job's last step."""
    wait_s: float
    """The model's time for one step of the pictures that are served together."""
    cpu_share: float
    """CPU time over wall time while it lasts."""
    shared: bool = True
    """Whether pictures share model calls here."""


@dataclass(frozen=True)
class Trial:
    """What one picture of one step took, in seconds, on a stand that had just been set up."""

    load_s: float
    step_s: float
    finish_s: float
    shared: bool


@dataclass(frozen=True)
class Plan:
    """At each of ``slots``, so many bursts of as many jobs as the most slots, of so many steps."""

    slots: tuple[int, ...]
    bursts: int
    steps: int

    @property
    def jobs(self) -> int:
        """Jobs of a burst."""
        return max(self.slots)

    def seconds(self, trial: Trial) -> float:
        """How long it takes, were nothing gained by sharing calls."""
        further = sum(trial.load_s + slots * (trial.step_s + trial.finish_s) for slots in self.slots[1:])
        burst = self.jobs * (self.steps * trial.step_s + trial.finish_s)
        return further + len(self.slots) * self.bursts * burst


def planned(trial: Trial, slots: Sequence[int], steps: int, seconds: float) -> Plan:
    """The most that can be done in this time: fewer steps first, then fewer bursts, then fewer numbers of slots.

    If nothing fits, it is one picture of one step. Where pictures share no calls there are no slots to compare.
    """
    sweep = tuple(slots) if trial.shared else (slots[0],)
    plans = [Plan(sweep, 3, count) for count in range(steps, min(steps, 4) - 1, -1)]
    for kept in range(len(sweep), 0, -1):
        plans += [Plan(sweep[:kept], 1, count) for count in range(steps, min(steps, 2) - 1, -1)]
    return next((plan for plan in plans if plan.seconds(trial) <= seconds), Plan(sweep[:1], 1, 1))


def bench(
    model: Path | None,
    steps: int,
    device: str | None,
    threads: Sequence[int] | None = None,
    slots: Sequence[int] | None = None,
) -> list[Measured]:
    """Every number of threads in a process of its own, each at several slots. Raises :class:`CalotypeError`."""
    logs.set_up("WARNING")
    settings = Settings.load(model=model and model.expanduser().absolute(), device=device)
    catalog_for(settings)  # what is wrong with model or plugins is said before anything is started
    env = os.environ | {"CALOTYPE_DEVICE": settings.device}
    if settings.model is not None:
        env["CALOTYPE_MODEL"] = str(settings.model)
    found: list[Measured] = []
    for count in threads or _thread_counts(settings.device):
        typer.echo(f"measuring with {count} thread{'s' * (count > 1)} …", err=True)
        words = [str(each) for each in (count, steps, *(slots or SLOTS))]
        command = [sys.executable, "-m", "calotype.cli_bench", *words]
        done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603 - ourselves
        found += _understood(done.stdout, count)
    return found


def _thread_counts(device: str) -> list[int]:
    return sorted({1, min(2, cores()), cores()}) if device in ("auto", "cpu") else [1]


def _understood(said: str, threads: int) -> list[Measured]:
    """What a child wrote: its rows, or the error that it ended with, which is raised."""
    try:
        answer = json.loads(said.splitlines()[-1])
    except (IndexError, ValueError):
        raise CalotypeError(f"bench: measuring with {threads} threads failed; the lines above say why") from None
    if "rows" in answer:
        return [Measured(**row) for row in answer["rows"]]
    if answer["yours"]:
        raise SetupError(answer["error"])
    raise CalotypeError(f"bench: {answer['error']} (CALOTYPE_LOG_LEVEL=ERROR shows more)")


def measure(
    catalog: Catalog,
    device: str,
    threads: int,
    steps: int,
    slots: Sequence[int] = SLOTS,
    budget: float = BUDGET,
) -> list[Measured]:
    """Each number of slots: the median of three bursts, or one where there is no time for three.

    A picture of one step is made and timed first; what is done after it is cut down to ``budget`` seconds.
    """
    from calotype.measuring import Stand

    begun = time.perf_counter()
    with Stand(catalog, device=device, threads=threads, slots=slots[0]) as stand:
        trial = _tried(stand, catalog, time.perf_counter() - begun)
        plan = planned(trial, slots, steps, budget - (time.perf_counter() - begun))
        rows = [_measured(stand, catalog, plan, threads, trial.shared)]
    for count in plan.slots[1:]:
        with Stand(catalog, device=device, threads=threads, slots=count) as stand:
            stand.burst(_requests(catalog, count, 1))
            rows.append(_measured(stand, catalog, plan, threads, trial.shared))
    return rows


def _requests(catalog: Catalog, count: int, steps: int) -> list[Request]:
    """Alike but for the seed, so that no prompt is encoded while it counts. Post-processors are off."""
    off = dict.fromkeys(catalog.models[catalog.default_model].postprocess, False)
    return [
        catalog.resolve(Request(prompt="cat", seed=number, steps=steps, sampler="euler", options=dict(off)))
        for number in range(count)
    ]


def _tried(stand: Stand, catalog: Catalog, load_s: float) -> Trial:
    burst = stand.burst(_requests(catalog, 1, 1))
    (job,) = burst.jobs
    return Trial(load_s, burst.denoising, burst.wall - burst.denoising, bool(job.row_buckets))


def _measured(stand: Stand, catalog: Catalog, plan: Plan, threads: int, shared: bool) -> Measured:
    requests = _requests(catalog, plan.jobs, plan.steps)
    bursts = sorted((stand.burst(requests) for _ in range(plan.bursts)), key=lambda each: each.denoising)
    burst = bursts[plan.bursts // 2]
    rate = plan.jobs * plan.steps / burst.denoising
    wait = statistics.median(job.timings["model_s"] for job in burst.jobs) / plan.steps
    share = burst.denoising_cpu / burst.denoising
    typer.echo(f"  {stand.slots} slots: {rate:.2f} steps/s", err=True)
    return Measured(threads, stand.slots, round(rate, 4), round(wait, 4), round(share, 2), shared)


def recommended(rows: list[Measured]) -> Measured:
    """The fewest threads, then the fewest slots, that come near the best rate."""
    best = max(row.rate for row in rows)
    return min((row for row in rows if row.rate >= _NEAR * best), key=lambda row: (row.threads, row.slots))


def show(rows: list[Measured]) -> str:
    """The table and what follows from it."""
    lines = ["threads  slots  steps/s  one step  CPU/wall"]
    for r in rows:
        lines.append(f"{r.threads:7}  {r.slots:5}  {r.rate:7.2f}  {r.wait_s * 1000:5.0f} ms  {r.cpu_share:8.2f}")
    best = recommended(rows)
    beside = [row for row in rows if row.threads == best.threads]
    compared = len(beside) > 1
    lines.append(f"recommended: CALOTYPE_THREADS={best.threads}" + compared * f" CALOTYPE_SLOTS={best.slots}")
    if compared:
        lines.append(
            f"(sharing calls makes {best.rate / beside[0].rate:.2f} times the steps of {beside[0].slots} at a time)"
        )
    elif best.shared:
        lines.append("(there was no time to compare slots)")
    else:
        lines.append("(pictures of this model share no calls here: one fills the machine. Slots make no difference)")
    lines.append("(decoding is not in these figures. Other threads may give other bits for the same seed: choose once)")
    return "\n".join(lines)


def _child() -> int:
    threads, steps, *slots = (int(word) for word in sys.argv[1:])
    answer: dict[str, object]
    try:
        logs.set_up("CRITICAL")  # an error is one line, and the parent says it
        settings = Settings.load()
        rows = measure(catalog_for(settings), settings.device, threads, steps, slots)
        answer = {"rows": [asdict(row) for row in rows]}
    except CalotypeError as error:
        answer = {"error": str(error), "yours": isinstance(error, YOURS)}
    except KeyboardInterrupt:
        return 130
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(_child())
