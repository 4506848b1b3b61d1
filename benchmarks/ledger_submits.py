"""F7: durable submits a second from 32 threads, and what a restart asks of the database, on both databases.

    python benchmarks/ledger_submits.py [--threads 32] [--seconds 5] [--rounds 3] [--curve 1 2 4 …]

Submits: every thread submits one job after another, each durable before it is acknowledged. SQLite with group commit
and, for comparison, with a commit of its own for each (the same code, groups of one); the two take turns. PostgreSQL
has a connection for every thread and groups commits itself. Then the same once with fewer and more threads, for
the curve.

Restart: 100,000 rows of history, 10,000 queued and 8 that were running when the process was killed. Is the schema
today's, recover, the first claim: the time of each as it passes (with connecting, and with the import of PostgreSQL's
driver), and of the SQL in all of them, commits included. What is to be reached: 100 ms of SQL.

Prints a table; writes results/ledger_submits.json and results/ledger_submits.svg.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from contextlib import closing
from typing import Any

from curves import draw
from ledger_databases import REQUEST, RESULTS, New, analyse, databases, fill, machine, save, server_version
from sqlalchemy import Engine, event
from sqlalchemy.engine.default import DefaultDialect

from calotype.ledger import Ledger, upgrade
from calotype.person import Person


def submits(ledger: Ledger, threads: int, seconds: float) -> dict[str, float]:
    """From all threads for so long."""
    took: list[list[float]] = [[] for _ in range(threads)]
    until = time.perf_counter() + seconds

    def work(n: int) -> None:
        while (start := time.perf_counter()) < until:
            ledger.submit(Person(f"web:{n}"), REQUEST, cost=10.0)
            took[n].append((time.perf_counter() - start) * 1000)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(threads)]
    begun = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    elapsed = time.perf_counter() - begun
    every = [each for mine in took for each in mine]
    return {
        "submits_a_second": round(len(every) / elapsed, 1),
        "p50_ms": round(statistics.median(every), 2),
        "p99_ms": round(statistics.quantiles(every, n=100)[98], 2),
    }


def middle(rounds: list[dict[str, float]]) -> dict[str, Any]:
    """The median of each figure, and every round's rate."""
    figures: dict[str, Any] = {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}
    return {**figures, "rounds": [each["submits_a_second"] for each in rounds]}


def measure_submits(kinds: dict[str, New], threads: int, seconds: float, rounds: int) -> dict[str, Any]:
    """By kind of database, these taking turns."""
    found: dict[str, list[dict[str, float]]] = {}
    for _ in range(rounds):
        for name in ("sqlite, group commit", "sqlite, a commit each", "postgresql"):
            with closing(Ledger(kinds[name.partition(",")[0]]())) as ledger:
                if name.endswith("each"):
                    assert ledger._database._group is not None
                    ledger._database._group._largest = 1
                found.setdefault(name, []).append(submits(ledger, threads, seconds))
    return {name: middle(several) for name, several in found.items()}


def restart(new: New) -> dict[str, float]:
    """Milliseconds of each step."""
    url = new()
    with closing(Ledger(url)) as ledger:
        ledger._database.write(lambda c: fill(c, queued=10_008, finished=100_000))
        assert len(ledger.claim(8)) == 8
    analyse(url)
    figures: dict[str, float] = {}
    sql = time_of_sql()
    last = time.perf_counter()

    def step(name: str) -> None:
        nonlocal last
        now = time.perf_counter()
        figures[name] = round((now - last) * 1000, 2)
        last = now

    upgrade(url, None)
    step("schema_ms")
    with closing(Ledger(url)) as ledger:
        requeued, _ = ledger.recover()
        step("recover_ms")
        assert len(requeued) == 8
        assert ledger.claim()
        step("first_claim_ms")
        figures["sql_ms"] = round(sum(sql), 2)
        ledger.position(requeued[0])
        step("first_position_ms")
    return figures


def time_of_sql() -> list[float]:
    """Grows by the milliseconds of every statement and commit from now on."""
    took: list[float] = []
    begun = [0.0]

    def begin(*_: Any) -> None:
        begun[0] = time.perf_counter()

    def end(*_: Any) -> None:
        took.append((time.perf_counter() - begun[0]) * 1000)

    event.listen(Engine, "before_cursor_execute", begin)
    event.listen(Engine, "after_cursor_execute", end)
    commit = DefaultDialect.do_commit

    def timed(dialect: Any, connection: Any) -> None:
        begin()
        commit(dialect, connection)
        end()

    DefaultDialect.do_commit = timed  # type: ignore[method-assign]
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--curve", type=int, nargs="*", default=[1, 2, 4, 8, 16, 32, 64])
    given = parser.parse_args()
    before = machine()
    with databases() as kinds:
        rates = measure_submits(kinds, given.threads, given.seconds, given.rounds)
        for name, figures in rates.items():
            print(f"| {name} | {figures['submits_a_second']:,.0f} submits/s | p50 {figures['p50_ms']} ms |", flush=True)
        curve = {n: measure_submits(kinds, n, given.seconds / 2, 1) for n in given.curve}
        restarts = {kind: restart(new) for kind, new in kinds.items()}
        for kind, steps in restarts.items():
            print(f"| restart, {kind} | {steps} |", flush=True)
        before["postgresql"] = server_version(kinds["postgresql"]())
    save(
        "ledger_submits",
        {
            "machine": before,
            "threads": given.threads,
            "seconds": given.seconds,
            "submits": rates,
            "by_threads": {
                name: {str(n): found[name]["submits_a_second"] for n, found in curve.items()} for name in rates
            },
            "restart": restarts,
        },
    )
    if curve:
        lines = {name: [(n, found[name]["submits_a_second"]) for n, found in curve.items()] for name in rates}
        file = RESULTS / "ledger_submits.svg"
        draw(file, "Durable submits a second", "threads that submit", "submits a second", lines)


if __name__ == "__main__":
    main()
