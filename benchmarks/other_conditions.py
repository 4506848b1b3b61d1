"""How far pictures move when they are made again under other conditions: what `calotype verify`'s tolerance rests on.

Makes --images pictures for each of some mixed requests with the embedded model, then the same ones with other numbers
of threads, with other row counts, and with other instruction sets, in a process each. Writes the largest and the mean
difference of 8-bit channels.

python benchmarks/other_conditions.py [--images 4] [--only NAME …]
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

REQUESTS: tuple[dict[str, Any], ...] = (
    {"prompt": "blue cat"},
    {"prompt": "a red rocket", "sampler": "dpmpp_2m", "schedule": "karras"},
    {"prompt": "a green dragon in snow", "sampler": "heun"},
    {"prompt": "an orange fox with a hat", "sampler": "euler", "guidance": 7.0},
    {"prompt": "a purple octopus, a yellow moon", "steps": 50, "options": {"film_grain": {}}},
)
CONDITIONS: dict[str, tuple[int, dict[str, str]]] = {
    "1 thread": (1, {}),
    "2 threads": (2, {}),
    "3 threads": (3, {}),
    "calls of 16 rows": (1, {"OTHER_ROWS": "16"}),
    "AVX2": (1, {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}),
    "no AVX": (1, {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"}),
}
"""Threads and environment. The first is what the others are compared with."""


def child(target: Path, images: int, threads: int) -> None:
    """Makes the pictures in this process."""
    from calotype.bootstrap import catalog_for, open_host
    from calotype.config import Settings
    from calotype.dispatch.assigning import as_it_stands
    from calotype.engine import models
    from calotype.images.store import ImageStore
    from calotype.job import Job, JobStatus
    from calotype.ledger.rows import now
    from calotype.request import Request
    from calotype.rerendering import render

    if rows := os.environ.get("OTHER_ROWS"):  # every call is padded to so many rows, whether they agree or not
        models.probe_buckets = lambda call, candidates=(): (int(rows),)
    settings = Settings.load(home=target.parent, device="cpu")
    catalog, store = catalog_for(settings), ImageStore(target.parent / "images")
    assignments = []
    for number, fields in enumerate(REQUESTS):
        for index in range(images):
            request = catalog.resolve(Request.parse({**fields, "seed": 1000 * number + index}))
            job = Job(f"{number}/{index}", "p", request, JobStatus.RUNNING, now())
            assignments.append(as_it_stands(catalog, job, request, catalog.model(request), store))
    done = render(lambda listener: open_host(settings, listener, threads), assignments, lambda event: None)
    target.write_bytes(pickle.dumps({name: again.picture.png for name, again in done.items()}))
    some = next(iter(done.values())).record
    print(json.dumps({name: some[name] for name in ("threads", "row_buckets", "torch", "device_name")}))


def measured(then: dict[str, bytes], now: dict[str, bytes]) -> dict[str, Any]:
    from calotype.images.store import name_of
    from calotype.verifying import compare

    found = [compare(name_of(png), png, now[name]) for name, png in then.items()]
    largest = sorted(max(each.largest or (0,)) for each in found)
    mean = sorted(max(each.mean or (0.0,)) for each in found)
    return {
        "pictures": len(found),
        "same_bits": sum(each.same_file for each in found),
        "largest_p50": largest[len(largest) // 2],
        "largest": largest[-1],
        "mean_p50": round(mean[len(mean) // 2], 5),
        "mean": round(mean[-1], 5),
    }


def versions() -> dict[str, Any]:
    import torch

    from calotype.engine.conditions import conditions

    here = conditions(torch.device("cpu"), 1)
    return {name: here[name] for name in ("versions", "machine", "torch")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--only", nargs="*", default=list(CONDITIONS), choices=list(CONDITIONS))
    parser.add_argument("--folder", type=Path, help="where pictures are kept between runs of some conditions")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child is not None:
        child(chosen.child, chosen.images, chosen.threads)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        files = {name: folder / f"{number}.pickle" for number, name in enumerate(CONDITIONS)}
        for name in chosen.only:
            threads, more = CONDITIONS[name]
            command = [sys.executable, __file__, "--child", str(files[name]), "--threads", str(threads)]
            subprocess.run([*command, "--images", str(chosen.images)], env={**os.environ, **more}, check=True)
        made = {name: pickle.loads(file.read_bytes()) for name, file in files.items() if file.exists()}
    first = made.pop(next(iter(CONDITIONS)))
    found = {name: measured(first, pictures) for name, pictures in made.items()}
    for name, figures in found.items():
        print(name, json.dumps(figures))
    result = Path(__file__).with_name("results") / "other_conditions.json"
    result.write_text(json.dumps({"with": versions(), "against 1 thread": found}, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
