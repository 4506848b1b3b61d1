"""What the benchmarks of the ledger share: a database of either kind, rows in it, and what machine it was.

SQLite is a file in the system's folder for temporary files. PostgreSQL is the server that ``CALOTYPE_TEST_POSTGRES``
names, or one that is begun for the benchmark, with the settings it comes with: everything waits for the disk.
"""

from __future__ import annotations

import json
import os
import platform
import random
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, insert, select, text, update

from calotype.job import new_job_id
from calotype.ledger import open_ledger, upgrade
from calotype.ledger.tables import jobs, persons
from calotype.request import Request

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from databases import postgres_server

PEOPLE = 1_000
RESULTS = Path(__file__).parent / "results"
REQUEST = Request(prompt="blue cat", seed=7, steps=20, width=512, height=512, model="v0", sampler="euler")

New = Callable[[], str]
"""Makes a database at today's schema, without rows; its URL."""


@contextmanager
def databases() -> Iterator[dict[str, New]]:
    """By kind."""
    with tempfile.TemporaryDirectory() as folder, postgres_server(durable=True) as server:

        def file() -> str:
            url = f"sqlite:///{Path(folder) / new_job_id()}.db"
            upgrade(url, None)
            return url

        yield {"sqlite": file, "postgresql": server.ready}


def fill(connection: Connection, *, queued: int, finished: int) -> None:
    """Writes the rows at once: submitting 100,000 jobs one by one would take minutes. Costs are mixed."""
    chosen = random.Random(7)
    connection.execute(insert(persons), [{"key": f"web:{n}", "name": "", "weight": 1.0} for n in range(PEOPLE)])
    row = {"request": REQUEST.model_dump(mode="json"), "created": datetime.now(UTC), "model": "v0", "sampler": "euler"}
    for status, number in (("finished", finished), ("queued", queued)):
        ended = {"finished": datetime.now(UTC), "record": {"seconds": 1.0}} if status == "finished" else {}
        for begin in range(0, number, 5_000):
            values = [
                {
                    **row, **ended, "id": new_job_id(), "status": status, "person": f"web:{n % PEOPLE}",
                    "cost": chosen.uniform(1, 50),
                }
                for n in range(begin, min(begin + 5_000, number))
            ]  # fmt: skip
            connection.execute(insert(jobs), values)
    mine = jobs.c.person == persons.c.key
    waiting = select(func.count()).where(mine, jobs.c.status == "queued").scalar_subquery()
    since = select(func.coalesce(func.min(jobs.c.seq), 0)).where(mine, jobs.c.status == "queued").scalar_subquery()
    connection.execute(update(persons).values(queued=waiting, waiting_since=since))


def analyse(url: str) -> None:
    """As autovacuum would by and by; without it PostgreSQL knows nothing of rows that were just written."""
    ledger = open_ledger(url, None)
    engine = ledger._database._engine.execution_options(isolation_level="AUTOCOMMIT")
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            connection.execute(text("VACUUM ANALYZE"))
    ledger.close()


def machine(url_of_server: str | None = None) -> dict[str, Any]:
    """What the figures depend on. ``load_average`` is the machine's before the benchmark began."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "load_average": [round(each, 2) for each in os.getloadavg()],
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "postgresql": url_of_server,
    }


def server_version(url: str) -> str:
    """Of a PostgreSQL database."""
    ledger = open_ledger(url, None)
    try:
        return str(ledger._database.read(lambda connection: connection.scalar(text("SHOW server_version"))))
    finally:
        ledger.close()


def save(name: str, found: dict[str, Any]) -> None:
    """Into the results' folder."""
    file = RESULTS / f"{name}.json"
    file.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(f"wrote {file}")
