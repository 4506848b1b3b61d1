"""Linking: two people turn out to be one. A code that one account made is shown by the other, which joins it.

Everything moves in one transaction: jobs, uploads, scheduled prompts, counters, the day's budget, the fair tag. The
person who is no more is deleted; their key goes on as an account. Both are locked in the order of their keys.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, delete, exists, func, literal_column, select, update

from calotype.errors import BadRequest
from calotype.job import JobStatus
from calotype.ledger import accounts, audit, limits
from calotype.ledger.rows import put
from calotype.ledger.tables import accounts as linked
from calotype.ledger.tables import jobs, link_codes, persons, scheduled_prompts, uploads
from calotype.person import Person
from calotype.roles import VISITOR, Limits

LIFETIME: Final = timedelta(minutes=10)
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: nothing that reads like something else."""
_LENGTH: Final = 8
"""Characters of five bits each."""
_ROUNDS: Final = 100_000
UNKNOWN: Final = "is not a code that holds now: it was used, or is older than 10 minutes; make a new one"


def new_code() -> str:
    """40 random bits, as they are shown: ``ABCD-EFGH``."""
    code = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
    return f"{code[:4]}-{code[4:]}"


def digest(code: str) -> str:
    """How a code is stored. Slow (some ten milliseconds), so that whoever reads it cannot try all codes in time.

    However it is typed: with or without hyphen, in small letters, with O for 0 or I for 1. Raises :class:`BadRequest`
    if it cannot be a code.
    """
    plain = "".join(code.split()).replace("-", "").upper().translate(str.maketrans("OIL", "011"))
    if len(plain) != _LENGTH or not set(plain) <= set(_ALPHABET):
        raise BadRequest.of("code", "is not a code; it looks like ABCD-EFGH: eight letters and digits")
    return hashlib.pbkdf2_hmac("sha256", plain.encode(), b"calotype link code", _ROUNDS).hex()


def make(connection: Connection, person: Person, code_digest: str, allowed: Limits) -> datetime:
    """Keeps the one code of an account, in place of an earlier one; when it expires. Raises :class:`NotAllowed`."""
    limits.welcome(accounts.introduce(connection, person, allowed))
    now = _clock(connection, allowed)
    connection.execute(delete(link_codes).where(link_codes.c.expires <= now))
    expires = now + LIFETIME
    put(connection, link_codes, {"account": person.key}, {"digest": code_digest, "expires": expires})
    return expires


def join(connection: Connection, person: Person, code_digest: str, allowed: Limits) -> str:
    """Joins the account to the person whose account made the code, and uses the code up; the person's key.

    Raises :class:`BadRequest` for a code that does not hold, :class:`NotAllowed` if either is banned.
    """
    now = _clock(connection, allowed)
    holds = and_(link_codes.c.digest == code_digest, link_codes.c.expires > now)
    account = connection.scalar(select(link_codes.c.account).where(holds))
    if account is None:
        raise BadRequest.of("code", UNKNOWN)
    into, gone = accounts.lock(connection, [Person(account), person], allowed)
    if into.key == gone.key:
        raise BadRequest.of("code", "is your own: these accounts are one person already; show it to another account")
    if connection.execute(delete(link_codes).where(holds)).rowcount != 1:
        raise BadRequest.of("code", UNKNOWN)  # somebody else was faster
    for standing in (into, gone):
        limits.welcome(standing)
    moved = merge(connection, into.key, gone.key, allowed)
    audit.note(connection, person.key, "link", into.key, account=person.key, joined=gone.key, jobs=moved)
    return into.key


def merge(connection: Connection, into: str, gone: str, allowed: Limits) -> int:
    """Makes two people, both locked, one. How many jobs moved."""
    rows = {row.key: row for row in connection.execute(select(persons).where(persons.c.key.in_([into, gone])))}
    _settle_charges(connection, rows[into], rows[gone])
    connection.execute(update(jobs).where(jobs.c.person == gone, jobs.c.key.in_(_keys(into))).values(key=None))
    moved = connection.execute(
        update(jobs).where(jobs.c.person == gone).values(person=into, account=func.coalesce(jobs.c.account, gone))
    ).rowcount
    _move_uploads(connection, into, gone)
    for table in (scheduled_prompts, linked):
        connection.execute(update(table).where(table.c.person == gone).values(person=into))
    connection.execute(update(persons).where(persons.c.key == into).values(_together(rows[into], rows[gone], allowed)))
    connection.execute(delete(persons).where(persons.c.key == gone))
    accounts.link(connection, gone, into)
    return moved


def _keys(person: str) -> Any:
    """The idempotency keys of a person's jobs: of two jobs with one key the moved one loses it."""
    other = jobs.alias("other")
    return select(other.c.key).where(other.c.person == person, other.c.key.is_not(None))


def _together(one: Row[Any], other: Row[Any], allowed: Limits) -> dict[str, Any]:
    """The row of both. Nobody gains by it: they stand where the one stood who had more service."""
    ahead, behind = (one, other) if one.vtime >= other.vtime else (other, one)
    role = allowed.better(one.role, other.role)
    day = max(one.spent_on or "", other.spent_on or "")
    named = one if one.name and (one.role != VISITOR or not other.name) else other
    return {
        "name": named.name,
        "role": role,
        "weight": (one if role == one.role else other).weight,
        "vtime": ahead.vtime,
        "queued": one.queued + other.queued,
        "running": one.running + other.running,
        "waiting_since": (ahead if ahead.queued else behind).waiting_since,
        "spent": sum(row.spent for row in (one, other) if day and row.spent_on == day),
        "spent_on": day or None,
    }


def _settle_charges(connection: Connection, one: Row[Any], other: Row[Any]) -> None:
    """What running jobs would be given back if they were released.

    Of the person who is behind it is nothing: the tag of both is the other one's. Of the one ahead it is no more than
    what they are ahead: with all of it given back, both stand where the one behind stands now.
    """
    ahead, behind = (one, other) if one.vtime >= other.vtime else (other, one)
    running = jobs.c.status == JobStatus.RUNNING
    connection.execute(update(jobs).where(jobs.c.person == behind.key, running).values(charge=0.0))
    charged = connection.scalar(select(func.sum(jobs.c.charge)).where(jobs.c.person == ahead.key, running)) or 0.0
    room = ahead.vtime - behind.vtime
    if charged > room:
        share = jobs.c.charge * (room / charged)
        connection.execute(update(jobs).where(jobs.c.person == ahead.key, running).values(charge=share))


def _move_uploads(connection: Connection, into: str, gone: str) -> None:
    """Of a picture that both brought, the later time counts."""
    other = uploads.alias("other")
    both = and_(other.c.sha256 == uploads.c.sha256, uploads.c.person == gone, other.c.person == into)
    earlier = exists(select(literal_column("1")).select_from(other).where(both, other.c.taken >= uploads.c.taken))
    connection.execute(delete(uploads).where(uploads.c.person == gone, earlier))
    later = select(uploads.c.sha256).where(uploads.c.person == gone)
    connection.execute(delete(uploads).where(uploads.c.person == into, uploads.c.sha256.in_(later)))
    connection.execute(update(uploads).where(uploads.c.person == gone).values(person=into))


def _clock(connection: Connection, allowed: Limits) -> datetime:
    """The time by which codes expire: the database's, or what a test says."""
    return accounts.clock(connection) if allowed.now is None else allowed.now()
