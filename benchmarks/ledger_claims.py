"""What a claim costs, by the length of the queue: ``python benchmarks/ledger_claims.py [jobs …]``.

Prints a table: milliseconds a claim (one transaction each, synced to disk), a finish, a submit, one position.
1,000 people queue jobs of mixed costs; as many again stand finished in the history.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, func, insert, select, update

from calotype.job import new_job_id
from calotype.ledger import Ledger, open_ledger
from calotype.ledger.tables import jobs, persons
from calotype.person import Person
from calotype.request import Request

PEOPLE = 1_000
REPEATS = 300
REQUEST = Request(prompt="blue cat", seed=7, steps=20, width=512, height=512, model="v0", sampler="euler")


def fill(connection: Connection, queued: int) -> None:
    """Writes the rows at once: submitting 100,000 jobs one by one would take minutes."""
    chosen = random.Random(7)
    connection.execute(insert(persons), [{"key": f"web:{n}", "name": "", "weight": 1.0} for n in range(PEOPLE)])
    row = {"request": REQUEST.model_dump(mode="json"), "created": datetime.now(UTC)}
    for status in ("finished", "queued"):
        values = [
            {**row, "id": new_job_id(), "status": status, "person": f"web:{n % PEOPLE}", "cost": chosen.uniform(1, 50)}
            for n in range(queued)
        ]
        connection.execute(insert(jobs), values)
    mine = jobs.c.person == persons.c.key
    waiting = select(func.count()).where(mine, jobs.c.status == "queued").scalar_subquery()
    since = select(func.coalesce(func.min(jobs.c.seq), 0)).where(mine, jobs.c.status == "queued").scalar_subquery()
    connection.execute(update(persons).values(queued=waiting, waiting_since=since))


def timed(call: Callable[[int], object], repeats: int = REPEATS) -> tuple[float, float]:
    """Median and 99th percentile in milliseconds."""
    took = []
    for n in range(repeats):
        start = time.perf_counter()
        call(n)
        took.append((time.perf_counter() - start) * 1000)
    return statistics.median(took), statistics.quantiles(took, n=100)[98]


def measure(ledger: Ledger, queued: int) -> dict[str, tuple[float, float]]:
    repeats = min(REPEATS, queued * 3 // 4)
    claimed = []
    figures = {"claim": timed(lambda _: claimed.extend(ledger.claim(at_most_per_person=2)), repeats)}
    figures["finish"] = timed(lambda n: ledger.finish(claimed[n].id, claimed[n].epoch, [], {}), repeats)
    last = [""]

    def submit(n: int) -> None:
        last[0] = ledger.submit(Person(f"web:{n}"), REQUEST, cost=10.0, key="k").id

    figures["submit"] = timed(submit)
    figures["position"] = timed(lambda _: ledger.position(last[0]), 10)
    return figures


def main() -> None:
    sizes = [int(size) for size in sys.argv[1:]] or [100, 10_000, 100_000]
    print(
        "| queued | " + " | ".join(f"{name} p50 / p99 ms" for name in ("claim", "finish", "submit", "position")) + " |"
    )
    print("|---:" * 5 + "|")
    for queued in sizes:
        with tempfile.TemporaryDirectory() as folder:
            with closing(open_ledger(f"sqlite:///{Path(folder) / 'ledger.db'}", None)) as ledger:
                ledger._database.write(fill, queued)
                figures = measure(ledger, queued)
            print(f"| {queued:,} | " + " | ".join(f"{p50:.2f} / {p99:.2f}" for p50, p99 in figures.values()) + " |")


if __name__ == "__main__":
    main()
