"""One tick: the queries of many runs, whoever they belong to, answered by as few model calls as can be."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

import torch

from calotype.engine.denoiser import Row
from calotype.engine.exact import bucket_for
from calotype.engine.models import LoadedModel, is_out_of_memory
from calotype.engine.run import Run
from calotype.engine.watchdog import Abandoned
from calotype.errors import CalotypeError
from calotype.families.adapters import Chosen

log = logging.getLogger(__name__)
Faults = dict[Run, CalotypeError]
Asked = list[tuple[Run, list[Row]]]


def tick(runs: Sequence[Run]) -> Faults:
    """Advance every run (all of one batching key) by one model call. Returns those that failed, and why.

    A run that fails takes nobody along: its neighbours' results are the same with and without it.
    """
    faults: Faults = {}
    asked: Asked = []
    for run in runs:
        try:
            asked.append((run, run.rows()))
        except Abandoned:
            raise
        except BaseException as error:  # noqa: BLE001 - whatever one run's fault is, it is that run's alone
            faults[run] = _own(run, error)
    if asked:
        faults |= _answer(asked)
    return faults


def _answer(asked: Asked) -> Faults:
    faults: Faults = {}
    try:
        outputs, seconds = _predict(asked)
    except Exception as error:  # out of memory above all: smaller calls may fit, and a culprit fails alone
        if len(asked) == 1:
            log.exception("job %s: the model call failed", asked[0][0].assignment.job_id)
            return {asked[0][0]: CalotypeError(_explain(error))}
        log.warning("a model call for %d pictures failed (%s): halving it", len(asked), error)
        half = len(asked) // 2
        return _answer(asked[:half]) | _answer(asked[half:])
    for run in {run.assignment.job_id: run for run, _ in asked}.values():  # a job once, however many of its pictures
        run.model_seconds += seconds
    rest = iter(outputs)
    for run, rows in asked:
        own = [next(rest) for _ in rows]
        try:
            run.answer(own)
        except Abandoned:
            raise
        except BaseException as error:  # noqa: BLE001 - as above
            faults[run] = _own(run, error)
    return faults


def _predict(asked: Asked) -> tuple[list[torch.Tensor], float]:
    """All rows through the model, in calls of row counts that agree bit for bit and that memory has room for.

    Returns the outputs, and the seconds of these calls.
    """
    one = asked[0][0]
    model, loras, buckets = one.denoiser.model, one.denoiser.loras, one.fitting_buckets
    if buckets:
        rows = [row for _, rows in asked for row in rows]
        parts = [rows[start : start + buckets[-1]] for start in range(0, len(rows), buckets[-1])]
        calls = [_call(model, part, bucket_for(len(part), buckets), loras) for part in parts]
    else:  # no counts agree: each run's rows make calls of their own, always the same ones
        calls = [_call(model, rows, len(rows), loras) for _, rows in asked]
    return [output for outputs, _ in calls for output in outputs], sum(seconds for _, seconds in calls)


def _call(model: LoadedModel, rows: Sequence[Row], size: int, loras: Chosen) -> tuple[list[torch.Tensor], float]:
    """One model call of ``size`` rows, padded with the first; the outputs of the real ones, and its seconds."""
    padded = [*rows, *[rows[0]] * (size - len(rows))]
    x = torch.stack([row.x for row in padded])
    t = torch.tensor([row.t for row in padded], dtype=torch.float32)
    inputs = {name: torch.stack([row.inputs[name] for row in padded]) for name in padded[0].inputs}
    begun = time.perf_counter()
    outputs = model.predict(x, t, inputs, loras)
    return list(outputs[: len(rows)]), time.perf_counter() - begun


def _own(run: Run, error: BaseException) -> CalotypeError:
    if isinstance(error, CalotypeError):
        return error
    log.exception("job %s failed", run.assignment.job_id, exc_info=error)
    return CalotypeError("something went wrong while it was made; the operator finds the reason in the log")


def _explain(error: Exception) -> str:
    if is_out_of_memory(error):
        return "the picture needs more memory than this machine has; try a smaller size"
    return "the model could not be run; the operator finds the reason in the log"
