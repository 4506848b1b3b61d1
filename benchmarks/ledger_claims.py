"""F5: claims and full cycles a second from 100 to 100,000 queued jobs of 1,000 people, on both databases.

    python benchmarks/ledger_claims.py [--sizes 100 1000 10000 100000] [--repeats 200]

One thread, one job after another: ``claim`` (a transaction, synced to disk) and ``cycle``: submit, claim, finish with
a picture, read the outbox, delivered. As many jobs again stand finished in the history. What is to be reached: flat.

Beside it, on the same rows, what a queue without tags would ask for the next job of the person who was served least:
``row_number() over (partition by person order by seq)`` over all that is queued, ordered by turn, then by age. It is
only the question: nothing is claimed and nothing is written, so that it is at its best.

Prints a table; writes results/ledger_claims.json and results/ledger_claims.svg.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

from curves import draw
from ledger_databases import REQUEST, RESULTS, New, analyse, databases, fill, machine, save, server_version
from sqlalchemy import text

from calotype.job import Picture
from calotype.ledger import Ledger
from calotype.person import Person

FAIR_QUERY = text("""
    SELECT id FROM (
        SELECT id, seq, row_number() OVER (PARTITION BY person ORDER BY seq) AS turn FROM jobs WHERE status = 'queued'
    ) AS queue ORDER BY turn, seq LIMIT 1
""")


def timed(call: Callable[[int], object], repeats: int) -> dict[str, float]:
    """Times in milliseconds."""
    took = []
    for n in range(repeats):
        start = time.perf_counter()
        call(n)
        took.append((time.perf_counter() - start) * 1000)
    p99 = statistics.quantiles(took, n=100)[98] if len(took) > 1 else took[0]
    return {
        "a_second": round(len(took) / sum(took) * 1000, 1),
        "p50_ms": round(statistics.median(took), 3),
        "p99_ms": round(p99, 3),
    }


def measure(ledger: Ledger, queued: int, repeats: int) -> dict[str, Any]:
    """Claims, cycles, and the question beside them."""

    def cycle(n: int) -> None:
        ledger.submit(Person(f"web:{n}"), REQUEST, cost=10.0, key=str(n), reply_to={"front_end": "web"})
        (job,) = ledger.claim(at_most_per_person=2)
        ledger.finish(job.id, job.epoch, [Picture(0, 7, f"{n:064x}", 512, 512)], {"seconds": 1.0})
        for delivery in ledger.deliveries("web"):
            ledger.delivered(delivery.id)

    def ask(_: int) -> None:
        ledger._database.read(lambda connection: connection.scalar(FAIR_QUERY))

    few = 5 if queued >= 10_000 else 20
    return {
        "row_number": timed(ask, few),
        "cycle": timed(cycle, repeats),
        "claim": timed(lambda _: ledger.claim(at_most_per_person=2), min(repeats, queued * 3 // 4)),
    }


def run(kind: str, new: New, sizes: list[int], repeats: int) -> dict[str, Any]:
    found = {}
    for queued in sizes:
        url = new()
        with closing(Ledger(url)) as ledger:
            ledger._database.write(lambda c, n=queued: fill(c, queued=n, finished=n))
        analyse(url)
        with closing(Ledger(url)) as ledger:
            ledger.claim()  # connects
            found[str(queued)] = figures = measure(ledger, queued, repeats)
        told = " | ".join(f"{each['a_second']:,.0f}/s, p50 {each['p50_ms']:.2f} ms" for each in figures.values())
        print(f"| {kind} | {queued:,} | {told} |", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1_000, 10_000, 100_000])
    parser.add_argument("--repeats", type=int, default=200)
    given = parser.parse_args()
    before = machine()
    found: dict[str, Any] = {}
    print("| database | queued | row_number query | cycle | claim |\n|---|---:|---|---|---|")
    with databases() as kinds:
        for kind, new in kinds.items():
            found[kind] = run(kind, new, given.sizes, given.repeats)
        before["postgresql"] = server_version(kinds["postgresql"]())
    save("ledger_claims", {"machine": before, "repeats": given.repeats, "people": 1_000, "figures": found})
    curves = {
        f"{what}, {kind}": [(int(size), figures[what]["a_second"]) for size, figures in found[kind].items()]
        for what in ("claim", "cycle", "row_number")
        for kind in found
    }
    title = "Claims by index seek beside a row_number() query"
    draw(RESULTS / "ledger_claims.svg", title, "queued jobs of 1,000 people", "a second", curves)


if __name__ == "__main__":
    main()
