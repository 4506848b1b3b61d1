"""What a newcomer and an operator feel: start, first picture, first preview, overhead a job, memory.

    python benchmarks/first_picture.py [--jobs 60] [-o benchmarks/results/first_picture.json]

Every figure comes from the real service: `calotype serve` in a process of its own for start and memory, the same
service in this process for the stages of a job. Wall time and CPU time stand side by side; run it on an idle machine.

`outside_model_calls_ms` is a picture's time but for the model's calls; `service_ms` is what of it is neither
decoding, post-processing nor the PNG file: ledger, bus, admission, samplers' arithmetic, previews. Results of before
the record told model calls from whole ticks are named `outside_denoiser_ms` and `service_overhead_ms`, and are
without samplers' arithmetic.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROMPTS = ["blue cat", "panda with a top hat", "rocket, 3d style", "castle", "frog", "pizza", "owl", "sunflower"]


def serve_to_first_picture(home: Path) -> dict[str, float]:
    """Seconds from starting `calotype serve` until a picture came over HTTP; peak memory of the server in MB."""
    import httpx

    env = {**os.environ, "CALOTYPE_HOME": str(home)}
    began = time.perf_counter()
    # a shell between us and the server would hide its memory; the console script is a plain Python process
    server = subprocess.Popen(
        [sys.executable, "-m", "calotype", "serve", "--port", "0"],
        env=env,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        address = home / "server.json"
        while not address.exists():
            if server.poll() is not None:
                raise SystemExit("the server did not start")
            time.sleep(0.02)
        url = json.loads(address.read_text())["url"]
        listening = time.perf_counter() - began
        body = {"prompt": "blue cat", "seed": 1}
        httpx.post(f"{url}/v1/images/generations", json=body, timeout=120).raise_for_status()
        picture = time.perf_counter() - began
        peak = next(line for line in Path(f"/proc/{server.pid}/status").read_text().splitlines() if "VmHWM" in line)
    finally:
        server.terminate()
        stopping = time.perf_counter()
        server.wait(60)
    return {
        "listening_s": round(listening, 2),
        "first_picture_s": round(picture, 2),
        "stop_s": round(time.perf_counter() - stopping, 2),
        "peak_memory_mb": int(peak.split()[1]) // 1024,
    }


def cli_picture(home: Path) -> dict[str, float]:
    """`calotype imagine` with an engine of its own, from a cold process."""
    env = {**os.environ, "CALOTYPE_HOME": str(home)}
    began = time.perf_counter()
    command = [
        sys.executable,
        "-m",
        "calotype",
        "imagine",
        "blue cat",
        "--seed",
        "1",
        "-o",
        str(home / "cat.png"),
        "--json",
    ]
    subprocess.run(command, env=env, check=True, capture_output=True)
    return {"imagine_s": round(time.perf_counter() - began, 2)}


async def stages(threads: int, jobs: int) -> dict[str, Any]:
    """One job after another through the Studio: where the time of a picture of 20 steps goes."""
    from calotype.bootstrap import catalog_for, open_service
    from calotype.config import Settings
    from calotype.events import Stepped
    from calotype.home import Home
    from calotype.person import Person
    from calotype.request import Request

    totals, previews, outside, service, cpu = [], [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.load(home=Path(folder), threads=threads)
        home = Home(settings.home)
        assert home.acquire()
        async with open_service(settings, home, catalog_for(settings)) as studio:
            while not studio.ready:  # noqa: ASYNC110 - a benchmark may poll before it begins
                await asyncio.sleep(0.05)
            for number in range(jobs + 3):
                began, used = time.perf_counter(), time.process_time()
                request = Request(prompt=PROMPTS[number % len(PROMPTS)], seed=number, steps=20)
                job = await studio.submit(request, Person("bench"))
                preview = None
                async for event in studio.watch(job.id):
                    if preview is None and isinstance(event, Stepped) and event.preview is not None:
                        preview = time.perf_counter() - began
                total = time.perf_counter() - began
                timings = (await studio.job(job.id)).record["timings"]
                if number < 3:
                    continue  # warm caches first
                rendering = timings["decode_s"] + timings["postprocess_s"] + timings["png_s"]
                totals.append(total)
                cpu.append(time.process_time() - used)
                previews.append(preview or total)
                outside.append(total - timings["model_s"])
                service.append(total - timings["model_s"] - rendering)
        home.release()
    return {
        "threads": threads,
        "jobs": jobs,
        "picture_s": _spread(totals),
        "picture_cpu_s": _spread(cpu),
        "first_preview_s": _spread(previews),
        "outside_model_calls_ms": _spread(outside, 1000),
        "service_ms": _spread(service, 1000),
    }


def _spread(values: list[float], scale: float = 1) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=20)
    return {"p50": round(statistics.median(values) * scale, 3), "p95": round(cuts[18] * scale, 3)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=60)
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/results/first_picture.json"))
    arguments = parser.parse_args()
    results: dict[str, Any] = {
        "machine": {"cores": len(os.sched_getaffinity(0)), "python": platform.python_version()},
        "load_average_before": os.getloadavg()[0],
    }
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        results["first_start"] = serve_to_first_picture(home)
        results["second_start"] = serve_to_first_picture(home)
        results["command_line"] = cli_picture(home)
    for threads in (1, 2):  # each in a process of its own: threads are set once a process
        call = f"asyncio.run(f.stages({threads}, {arguments.jobs}))"
        code = f"import asyncio, json, first_picture as f; print(json.dumps({call}))"
        out = subprocess.run(
            [sys.executable, "-c", code], cwd=Path(__file__).parent, check=True, capture_output=True, text=True
        )
        results[f"threads_{threads}"] = json.loads(out.stdout.splitlines()[-1])
    results["peak_memory_children_mb"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(results, indent=2) + "\n")
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
