"""Whether a database and the pictures beside it are as they should be. Only looks; a service may be at work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from sqlalchemy import Connection, func, or_, select, text, union

from calotype.errors import DatabaseError
from calotype.job import JobStatus
from calotype.ledger import history, migrate, postgresql, starts
from calotype.ledger.database import Database, place
from calotype.ledger.search_tables import job_words
from calotype.ledger.tables import clock, init_images, jobs, masks, outbox, persons, pictures, removed_pictures, uploads

_CHUNK: Final = 500


@dataclass(frozen=True)
class Finding:
    """What was looked at. ``ok`` None: nothing to judge, only to know."""

    about: str
    ok: bool | None
    told: str


class Pictures(Protocol):
    """What is asked of the image store."""

    def has(self, sha256: str) -> bool:
        """Whether there is such a file."""
        ...

    def names(self) -> Iterator[str]:
        """Every file."""
        ...


def check(url: str, store: Pictures) -> list[Finding]:
    """Everything that can be looked at, one finding each. Never raises for what is wrong with the database."""
    try:
        revision = migrate.current(url)
        if revision is None:
            return [Finding("database", False, f"{place(url)}: there is none yet; 'calotype db upgrade' makes it")]
    except DatabaseError as error:
        return [Finding("database", False, str(error).removeprefix("database: "))]
    database = Database(url)
    try:
        found = [Finding("database", True, place(url)), *database.read(_server), _schema(revision)]
        looks: Sequence[Callable[[Connection], Finding]] = _LOOKS if revision == migrate.head() else ()
        found += [database.read(look) for look in looks]
        if looks:
            found += database.read(_pictures, store)
    except DatabaseError as error:
        return [Finding("database", False, str(error).removeprefix("database: "))]
    else:
        return found
    finally:
        database.close()


def _schema(revision: str) -> Finding:
    head = migrate.head()
    if revision == head:
        return Finding("schema", True, f"{revision}, today's")
    try:
        migrate.refuse_newer(revision, "schema")
    except DatabaseError:
        return Finding("schema", False, f"{revision}; this program knows {head} at most; install a newer one")
    return Finding("schema", False, f"{revision} is older than {head}; 'calotype db upgrade' upgrades it")


def _server(connection: Connection) -> list[Finding]:
    """What works on the database, and whether its own structure is whole."""
    if connection.dialect.name == "postgresql":
        number = int(connection.scalar(text("SHOW server_version_num")) or 0) // 10_000
        told = f"PostgreSQL {number}"
        return [Finding("server", number >= postgresql.OLDEST, f"{told}; {postgresql.OLDEST} or newer is needed")]
    found = list(connection.scalars(text("PRAGMA integrity_check(20)")))
    whole = found == ["ok"]
    broken = {str(row[0]) for row in connection.execute(text("PRAGMA foreign_key_check"))}
    version = connection.scalar(text("SELECT sqlite_version()"))
    return [
        Finding("server", True, f"SQLite {version}"),
        Finding("integrity", whole, "every page is whole" if whole else f"{found[0]}; restore a backup"),
        Finding(
            "references", not broken, f"rows of {', '.join(sorted(broken))} refer to nothing" if broken else "whole"
        ),
    ]


def _clock(connection: Connection) -> Finding:
    rows = connection.scalar(select(func.count()).select_from(clock))
    return Finding("clock", rows == 1, "there" if rows == 1 else f"{rows} rows instead of one")


def _counters(connection: Connection) -> Finding:
    """What makes the claim an index seek: how many jobs of a person are queued and running."""
    counted = select(
        jobs.c.person,
        func.count().filter(jobs.c.status == JobStatus.QUEUED).label("queued"),
        func.count().filter(jobs.c.status == JobStatus.RUNNING).label("running"),
    )
    active = counted.where(jobs.c.status.in_([JobStatus.QUEUED, JobStatus.RUNNING])).group_by(jobs.c.person).subquery()
    queued, running = func.coalesce(active.c.queued, 0), func.coalesce(active.c.running, 0)
    both = persons.outerjoin(active, active.c.person == persons.c.key)
    wrong = select(persons.c.key).select_from(both)
    keys = connection.scalars(wrong.where(or_(persons.c.queued != queued, persons.c.running != running))).all()
    people = connection.scalar(select(func.count()).select_from(persons))
    told = f"wrong for {len(keys)} of {people} people; restore a backup" if keys else "right"
    return Finding("counters", not keys, told)


def _jobs(connection: Connection) -> Finding:
    rows = history.counts(connection)
    return Finding("jobs", None, ", ".join(f"{count} {status.value}" for status, count in rows.items()))


def _deliveries(connection: Connection) -> Finding:
    """Only of jobs that are over."""
    early = select(func.count()).join_from(outbox, jobs, jobs.c.id == outbox.c.job_id)
    wrong = connection.scalar(early.where(jobs.c.status.in_([JobStatus.QUEUED, JobStatus.RUNNING]))) or 0
    waiting = connection.scalar(select(func.count()).where(~outbox.c.given_up))
    given_up = connection.scalar(select(func.count()).where(outbox.c.given_up))
    told = f"{waiting} waiting, {given_up} given up"
    return Finding("deliveries", not wrong, f"{told}, {wrong} of jobs that are not over" if wrong else told)


def _search(connection: Connection) -> Finding:
    """Every job can be found by its words."""
    lost = connection.scalar(select(func.count()).where(jobs.c.seq.not_in(select(job_words.c.seq)))) or 0
    told = f"{lost} jobs are not found by their words; back up and restore" if lost else "every job is found"
    return Finding("search", not lost, told)


_LOOKS: Final = (_clock, _counters, _jobs, _deliveries, _search)


def _pictures(connection: Connection, store: Pictures) -> list[Finding]:
    """Every picture that a row names is a file; files that no row names go with a chore."""
    tables = (pictures, init_images, masks, uploads)
    named = union(*(select(table.c.sha256) for table in tables)).subquery()
    known = named.outerjoin(removed_pictures, removed_pictures.c.sha256 == named.c.sha256)
    query = select(named.c.sha256, removed_pictures.c.sha256.label("removed")).select_from(known)
    total = missing = on_purpose = 0
    for row in connection.execute(query, execution_options={"yield_per": _CHUNK}):
        total += 1
        if not store.has(row.sha256):
            missing += row.removed is None
            on_purpose += row.removed is not None
    orphans = 0
    some: set[str] = set()
    for name in store.names():
        some.add(name)
        if len(some) == _CHUNK:
            orphans += _unnamed(connection, some)
            some = set()
    orphans += _unnamed(connection, some)
    told = f"{missing} of {total} are missing; bring their files back" if missing else f"{total} named, all there"
    if on_purpose:
        told += f"{';' if missing else ' but'} {on_purpose} that the operator removed"
    return [
        Finding("pictures", not missing, told),
        Finding("orphans", None, f"{orphans} files that nothing names; a chore removes them"),
    ]


def _unnamed(connection: Connection, names: set[str]) -> int:
    return len(names - starts.named(connection, names))
