"""A person's data, all of it: said, deleted, and looked for afterwards.

What stays, and why: rows of ``audit``, which nobody may change; what an operator blocked; and of a banned person the
bare key and the ban, for each of their accounts, or erasing oneself would be the way round it. A bare row also stays
while it still counts in the order of the queue or in today's budget; retention takes it as soon as it does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    text,
)

from calotype.job import JobStatus
from calotype.ledger import audit as trail
from calotype.ledger.accounts import accounts_of, resolve
from calotype.ledger.rows import now, put
from calotype.ledger.search import facets
from calotype.ledger.search_tables import job_words
from calotype.ledger.tables import (
    accounts,
    audit,
    clock,
    init_images,
    jobs,
    link_codes,
    masks,
    metadata,
    outbox,
    persons,
    pictures,
    scheduled_prompts,
    steps,
    uploads,
)
from calotype.roles import MEMBER, VISITOR
from calotype.visitors import ANONYMOUS

KEPT: Final = ("audit", "blocked_words", "blocked_pictures")
"""Tables whose rows about a person stay: what was done with power over others."""
_OVER: Final = [status for status in JobStatus if status.final]
_OF_JOB: Final = (pictures, init_images, masks, outbox, steps)
_PAGES: Final = 500
"""Of SQLite's index that are merged in one transaction: some ten milliseconds."""
_PLACE: Final = "the place in the queue"
_BUDGET: Final = "today's budget"
_SECRET: Final = frozenset({"digest"})
_WHO: Final = ("person", "account", "added_by", "actor", "subject")


@dataclass(frozen=True)
class Erased:
    """Rows that were deleted, by table; and the picture files that they named."""

    rows: Mapping[str, int] = field(default_factory=dict)
    files: frozenset[str] = frozenset()
    kept: Mapping[str, str] = field(default_factory=dict)
    """What is still written down, and why."""

    def __add__(self, other: Erased) -> Erased:
        rows = Counter(self.rows) + Counter(other.rows)
        return Erased(dict(rows), self.files | other.files, {**self.kept, **other.kept})


def keys(connection: Connection, account: str) -> list[str]:
    """Key of the person whom the account belongs to, and those of all their accounts."""
    return accounts_of(connection, resolve(connection, account))


def is_known(connection: Connection, account: str) -> bool:
    """Whether there is a person, an upload or a code of that account."""
    person = resolve(connection, account)
    places = (persons.c.key == person, uploads.c.person == person, link_codes.c.account == account)
    return any(connection.scalar(select(literal(1)).where(place).limit(1)) is not None for place in places)


def known(connection: Connection, account: str) -> dict[str, list[dict[str, Any]]]:
    """What is written down about a person beside their jobs: plain values, by table."""
    person = resolve(connection, account)
    mine = accounts_of(connection, person)
    conditions: dict[Table, ColumnElement[bool]] = {
        persons: persons.c.key == person,
        accounts: accounts.c.person == person,
        link_codes: link_codes.c.account.in_(mine),
        uploads: uploads.c.person.in_(mine),
        scheduled_prompts: scheduled_prompts.c.person == person,
        audit: audit.c.subject.in_(mine) | audit.c.actor.in_(mine),
    }
    return {
        table.name: [_plain(row._asdict()) for row in connection.execute(select(table).where(condition))]
        for table, condition in conditions.items()
    }


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in row.items()
        if name not in _SECRET
    }


def unfinished(connection: Connection, account: str) -> list[str]:
    """Ids of the person's jobs that are not over."""
    mine = jobs.c.person == resolve(connection, account)
    return list(connection.scalars(select(jobs.c.id).where(mine, jobs.c.status.not_in(_OVER)).order_by(jobs.c.seq)))


def erase_some(connection: Connection, account: str, limit: int) -> Erased:
    """Deletes up to ``limit`` of the person's jobs that are over, with all that hangs on them."""
    person = resolve(connection, account)
    mine = select(jobs.c.id).where(jobs.c.person == person, jobs.c.status.in_(_OVER)).order_by(jobs.c.seq)
    connection.execute(_locked(person))  # first, as everywhere: see fair.hold
    ids = list(connection.scalars(mine.limit(limit)))
    rows: Counter[str] = Counter()
    files: set[str] = set()
    for table in _OF_JOB:
        if "sha256" in table.c:
            files.update(connection.scalars(select(table.c.sha256).where(table.c.job_id.in_(ids))))
        rows[table.name] = connection.execute(delete(table).where(table.c.job_id.in_(ids))).rowcount
    of_words = select(jobs.c.seq).where(jobs.c.id.in_(ids))
    rows["job_words"] = connection.execute(delete(job_words).where(job_words.c.seq.in_(of_words))).rowcount
    rows["jobs"] = connection.execute(delete(jobs).where(jobs.c.id.in_(ids))).rowcount
    return Erased(dict(+rows), frozenset(files))


def erase_rest(connection: Connection, account: str, actor: str) -> Erased | None:
    """Deletes all but jobs, and the person; None if there is a job yet. Writes down that ``actor`` did so."""
    person = resolve(connection, account)
    # nobody submits for them from here on, until this is committed
    row = connection.execute(_locked(person)).one_or_none()
    if connection.scalar(select(jobs.c.id).where(jobs.c.person == person).limit(1)) is not None:
        return None
    mine = accounts_of(connection, person)
    files = frozenset(connection.scalars(select(uploads.c.sha256).where(uploads.c.person.in_(mine))))
    rows: Counter[str] = Counter()
    for table, condition in (
        (uploads, uploads.c.person.in_(mine)),
        (scheduled_prompts, scheduled_prompts.c.person == person),
        (link_codes, link_codes.c.account.in_(mine)),
        (accounts, accounts.c.person == person),
    ):
        rows[table.name] = connection.execute(delete(table).where(condition)).rowcount
    kept: dict[str, str] = {}
    if row is not None:
        kept = _person_goes(connection, row._asdict(), mine)
        rows["persons"] = int(person not in kept)
    trail.note(connection, actor, "erase", person, rows=dict(+rows))
    return Erased(dict(+rows), files, kept)


def _locked(person: str) -> Select[Any]:
    return select(persons).where(persons.c.key == person).with_for_update()


def _person_goes(connection: Connection, row: Mapping[str, Any], mine: Sequence[str]) -> dict[str, str]:
    """Deletes the person, or strips them to what must stay. Which keys stay, and why."""
    key = row["key"]
    ahead = row["vtime"] > (connection.scalar(select(clock.c.vtime).where(clock.c.id == 1)) or 0.0)
    spent = row["spent"] and row["spent_on"] == now().date().isoformat()
    why = next((why for holds, why in ((row["banned"], "the ban"), (ahead, _PLACE), (spent, _BUDGET)) if holds), None)
    if why is not None:
        # each account is a person by itself from now on: with one of them left out, that one would begin anew
        counts = {name: row[name] for name in ("vtime", "spent", "spent_on", "banned", "ban_reason")}
        bare = {"name": "", "weight": 1.0, "waiting_since": 0, **counts}
        for account in mine:
            anonymous = row["role"] == VISITOR if account == key else account.startswith(ANONYMOUS)
            put(connection, persons, {"key": account}, {**bare, "role": VISITOR if anonymous else MEMBER})
        return dict.fromkeys(mine, why)
    connection.execute(delete(persons).where(persons.c.key == key))
    return {}


def left(connection: Connection, of: Sequence[str]) -> dict[str, int]:
    """How many rows there are of these people or accounts, in every table; and rows of jobs that are no more."""
    found: dict[str, int] = {}
    for table in metadata.sorted_tables:
        named = [table.c[name] for name in _WHO if name in table.c]
        if table in (persons, accounts):
            named.append(table.c.key)
        count = 0
        if named:
            theirs = or_(*(column.in_(of) for column in named))
            count += connection.scalar(select(func.count()).select_from(table).where(theirs)) or 0
        if "job_id" in table.c or table is job_words:
            here = jobs.c.id == table.c.job_id if "job_id" in table.c else jobs.c.seq == table.c.seq
            lost = select(func.count()).select_from(table).where(~exists().where(here))
            count += connection.scalar(lost) or 0
        found[table.name] = count
    found["job_words"] += sum(_indexed(connection, key) for key in of)
    return found


def _indexed(connection: Connection, person: str) -> int:
    """How many jobs of the person the index of words still knows."""
    dialect = connection.dialect.name
    nothing = dict.fromkeys(("guild", "model", "sampler", "favourite"))
    (facet,) = facets(dialect, None, {**nothing, "person": person})
    if dialect == "postgresql":
        query = text("SELECT count(*) FROM job_words WHERE facets @> ARRAY[:facet]::text[]").bindparams(facet=facet)
    else:
        query = text("SELECT count(*) FROM job_words_fts WHERE job_words_fts MATCH :m").bindparams(m=f'"{facet}"')
    return connection.scalar(query) or 0


def forget_words(connection: Connection, begin: bool) -> bool:
    """Merges a bit of SQLite's index: until then the words of deleted rows are in the file, if nowhere to be found.

    ``begin`` marks all of it as to be merged. PostgreSQL's vacuum does so by itself. False if nothing is left to do.
    """
    if connection.dialect.name == "postgresql":
        return False
    before = connection.scalar(text("SELECT total_changes()")) or 0
    command = text("INSERT INTO job_words_fts (job_words_fts, rank) VALUES ('merge', :pages)")
    connection.execute(command.bindparams(pages=-_PAGES if begin else _PAGES))
    return (connection.scalar(text("SELECT total_changes()")) or 0) - before >= 2
