"""Jobs that share model calls against diffusers' own pipeline, one job after another.

    python benchmarks/batching.py [--rounds 3] [-o benchmarks/results/batching.json]

A burst of 32 mixed jobs (10 to 30 steps, four samplers, guidance) with the embedded model's networks at 8 x 8,
16 x 16 (its real size) and 32 x 32 latents: our engine, and `StableDiffusionPipeline` called for one job after another
with the same steps, guidance and scheduler; both decode and write PNGs, both with the same threads. Beside them
diffusers' static batch of 32 equal jobs against the same jobs one after another: what batching could gain at most,
were all jobs alike and there at once. Rounds are interleaved in one process; ratios are
medians of the rounds' ratios. Run it on an idle machine.

What is to be reached, against that pipeline run serially:

- CPU time, theirs over ours: at least 2.0 at 8 x 8 latents, 1.4 at 16 x 16, 0.95 at 32 x 32;
- at 8 x 8, ours over theirs: p95 of the latency at most 0.5, the median job's first preview at most 0.25;
- 100 % of the jobs bit-equal alone and together;
- outside the denoiser (of a lone job, without the model's calls, decoding, post-processing and PNG) p50 at most 5 ms.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

JOBS = 32
SAMPLERS = ("euler", "euler_ancestral", "heun", "dpmpp_2m")
PROMPTS = ("blue cat", "rocket", "castle", "frog", "pizza", "owl", "sunflower", "happy face")


def mixed(catalog: Any, side: int) -> list[Any]:
    """32 resolved requests, none like another."""
    from calotype.request import Request

    return [
        catalog.resolve(
            Request(
                prompt=PROMPTS[n % len(PROMPTS)],
                seed=n,
                steps=10 + 20 * n // (JOBS - 1),
                sampler=SAMPLERS[n % 4],
                schedule="normal",
                guidance=3.0 + n % 3,
                width=side,
                height=side,
                options={"upscale": False},
            )
        )
        for n in range(JOBS)
    ]


class Pipeline:
    """diffusers' own, of the same folder."""

    def __init__(self, folder: Path) -> None:
        from diffusers import (
            DPMSolverMultistepScheduler,
            EulerAncestralDiscreteScheduler,
            EulerDiscreteScheduler,
            HeunDiscreteScheduler,
            StableDiffusionPipeline,
        )
        from diffusers.utils import logging

        logging.disable_progress_bar()
        self._pipe = StableDiffusionPipeline.from_pretrained(
            folder, safety_checker=None, local_files_only=True, low_cpu_mem_usage=False
        )
        self._pipe.set_progress_bar_config(disable=True)
        config = self._pipe.scheduler.config
        plain = {**config, "rescale_betas_zero_snr": False}
        self._schedulers = {
            "euler": EulerDiscreteScheduler.from_config(config),
            "euler_ancestral": EulerAncestralDiscreteScheduler.from_config(config),
            "heun": HeunDiscreteScheduler.from_config(plain),  # it knows no rescaling
            "dpmpp_2m": DPMSolverMultistepScheduler.from_config(config),
        }

    def run(self, request: Any, many: int = 1) -> tuple[float, float]:
        """One call of the pipeline. Seconds of its first step and of all of it, PNG included."""
        import torch

        first: list[float] = []
        begun = time.perf_counter()

        def stepped(_pipe: Any, _step: int, _t: Any, values: dict[str, Any]) -> dict[str, Any]:
            if not first:
                first.append(time.perf_counter() - begun)
            return values

        self._pipe.scheduler = self._schedulers[request.sampler]
        pictures = self._pipe(
            [request.prompt] * many, num_inference_steps=request.steps, guidance_scale=request.guidance,
            guidance_rescale=request.guidance_rescale, width=request.width, height=request.height,
            generator=[torch.Generator().manual_seed(request.seed + n) for n in range(many)],
            callback_on_step_end=stepped,
        ).images  # fmt: skip
        for picture in pictures:
            picture.save(io.BytesIO(), "PNG", compress_level=6)
        return first[0], time.perf_counter() - begun


def serial(pipeline: Pipeline, requests: list[Any]) -> dict[str, Any]:
    """All of them, one after another: CPU and wall time, and when each job's first step and picture came."""
    begun, cpu, previews, ends = time.perf_counter(), time.process_time(), [], []
    for request in requests:
        at = time.perf_counter() - begun
        first, all_of_it = pipeline.run(request)
        previews.append(at + first)
        ends.append(at + all_of_it)
    return {"wall": time.perf_counter() - begun, "cpu": time.process_time() - cpu, "previews": previews, "ends": ends}


def one_size(folder: Path, side: int, rounds: int, threads: int, slots: int) -> dict[str, Any]:
    """All figures for one size."""
    from calotype.catalog import Catalog
    from calotype.checkpoint import inspect
    from calotype.measuring import Stand
    from calotype.plugins.registry import Registry

    catalog = Catalog(Registry.discover(()), [inspect(folder)])
    requests = mixed(catalog, side)
    with Stand(catalog, device="cpu", threads=threads, slots=slots) as stand:
        return {"latents": f"{side // 4}x{side // 4}", **compared(stand, Pipeline(folder), requests, rounds)}


def compared(stand: Any, pipeline: Pipeline, requests: list[Any], rounds: int) -> dict[str, Any]:
    """Burst and pipeline in turn, then every job alone."""
    equal = requests[20].model_copy(update={"sampler": "euler", "steps": 20})
    stand.burst(requests[:4])
    pipeline.run(requests[0])
    cpu, wall, p95, preview, bound, ours_cpu, theirs_cpu = [], [], [], [], [], [], []
    for _ in range(rounds):
        ours, theirs = stand.burst(requests), serial(pipeline, requests)
        cpu.append(theirs["cpu"] / ours.cpu)
        wall.append(theirs["wall"] / ours.wall)
        ours_cpu.append(ours.cpu / JOBS)
        theirs_cpu.append(theirs["cpu"] / JOBS)
        p95.append(_p95([job.finished for job in ours.jobs]) / _p95(theirs["ends"]))
        preview.append(
            statistics.median(job.first_preview for job in ours.jobs) / statistics.median(theirs["previews"])
        )
        alone = serial(pipeline, [equal] * 8)["cpu"] / 8
        begun = time.process_time()
        pipeline.run(equal, many=JOBS)
        bound.append(alone / ((time.process_time() - begun) / JOBS))
    same, overhead = beside_alone(stand, requests)
    return {
        "cpu_ratio": _median(cpu), "wall_ratio": _median(wall),
        "cpu_s_a_job": _median(ours_cpu), "diffusers_cpu_s_a_job": _median(theirs_cpu),
        "static_batch_bound": _median(bound),
        "p95_latency_ratio": _median(p95), "first_preview_ratio": _median(preview),
        "bit_equal_alone_and_together": f"{same} of {JOBS}",
        "outside_denoiser_ms_p50": round(statistics.median(overhead) * 1000, 2),
    }  # fmt: skip


def beside_alone(stand: Any, requests: list[Any]) -> tuple[int, list[float]]:
    """How many jobs give the same bytes alone and together; seconds of each lone one outside model and rendering."""
    together = stand.burst(requests)
    same, outside = 0, []
    for request, job in zip(requests, together.jobs, strict=True):
        lone = stand.burst([request]).jobs[0]
        same += lone.pngs == job.pngs
        stages = ("model_s", "decode_s", "postprocess_s", "png_s")
        outside.append(lone.finished - sum(lone.timings[stage] for stage in stages))
    return same, outside


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20)[18]


def _median(values: list[float]) -> float:
    return round(statistics.median(values), 3)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--slots", type=int, default=8)
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/batching.json"))
    given = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", str(given.threads))
    import torch

    from calotype.checkpoint import EMBEDDED

    torch.set_num_threads(given.threads)
    results: dict[str, Any] = {
        "machine": {"cores": len(os.sched_getaffinity(0)), "python": platform.python_version()},
        "load_average_before": os.getloadavg()[0],
        "threads": given.threads, "slots": given.slots, "rounds": given.rounds, "sizes": [],
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        shutil.copytree(EMBEDDED, folder)
        card = json.loads((folder / "calotype.json").read_text())
        card["sizes"] = [[side, side] for side in (64, 32, 128)]  # the others are for measuring, not for looking at
        (folder / "calotype.json").write_text(json.dumps(card))
        for side in (32, 64, 128):
            results["sizes"].append(one_size(folder, side, given.rounds, given.threads, given.slots))
            print(json.dumps(results["sizes"][-1]), flush=True)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
