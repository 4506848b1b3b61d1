"""One tick: the queries of many runs, whoever they belong to, answered by as few model calls as can be."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch

from calotype.engine.denoiser import Row
from calotype.engine.exact import bucket_for
from calotype.engine.models import LoadedModel
from calotype.engine.run import Run
from calotype.errors import CalotypeError, SamplerMisbehaved

log = logging.getLogger(__name__)
Faults = dict[Run, CalotypeError]


def tick(runs: Sequence[Run]) -> Faults:
    """Advance every run (all of one batching key) by one model call. Returns those that failed, and why.

    A run that fails takes nobody along: its neighbours' results are the same with and without it.
    """
    faults: Faults = {}
    asked: list[tuple[Run, list[Row]]] = []
    for run in runs:
        try:
            asked.append((run, run.rows()))
        except CalotypeError as error:
            faults[run] = error
    if not asked:
        return faults
    rows = [row for _, rows in asked for row in rows]
    try:
        outputs = iter(_predict(asked[0][0].denoiser.model, asked[0][0].shape, rows))
    except RuntimeError as error:  # out of memory above all: smaller calls may fit, and a culprit fails alone
        if len(asked) == 1:
            log.exception("job %s: the model call failed", asked[0][0].assignment.job_id)
            faults[asked[0][0]] = CalotypeError(_explain(error))
            return faults
        log.warning("a model call of %d rows failed (%s): halving it", len(rows), error)
        half = len(asked) // 2
        for part in (asked[:half], asked[half:]):
            faults |= tick([run for run, _ in part])
        return faults
    for run, own in asked:
        try:
            run.answer([next(outputs) for _ in own])
        except SamplerMisbehaved as error:
            faults[run] = error
    return faults


def _predict(model: LoadedModel, shape: tuple[int, int, int], rows: Sequence[Row]) -> list[torch.Tensor]:
    """All rows through the model, in calls padded to row counts that agree bit for bit."""
    buckets = model.buckets(shape)
    outputs: list[torch.Tensor] = []
    for start in range(0, len(rows), buckets[-1]):
        part = list(rows[start : start + buckets[-1]])
        padded = part + [part[0]] * (bucket_for(len(part), buckets) - len(part))
        x = torch.stack([row.x for row in padded])
        t = torch.tensor([row.t for row in padded], dtype=torch.float32)
        conditioning = torch.stack([row.conditioning for row in padded])
        outputs.extend(model.predict(x, t, conditioning)[: len(part)])
    return outputs


def _explain(error: RuntimeError) -> str:
    if isinstance(error, torch.OutOfMemoryError) or "memory" in str(error):
        return "the picture needs more memory than this machine has; try a smaller size"
    return "the model could not be run; the operator finds the reason in the log"
