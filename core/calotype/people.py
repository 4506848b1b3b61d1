"""People, as front ends and the operator deal with them: links, bans, roles. Part of the studio."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any, Final

from calotype import texts
from calotype.errors import BadRequest, LimitReached, NotAllowed
from calotype.ledger.people import Known, LinkCode
from calotype.ledger.people import People as Records
from calotype.person import OPERATOR, Person

TRIES: Final = 5
"""Codes that an account, or an address, may show within :data:`TRIES_WITHIN`."""
TRIES_WITHIN: Final = 600.0
"""Seconds."""
_REMEMBERED: Final = 10_000
_TEXT_LIMIT: Final = 1000


class People:
    """Coroutines of the studio's event loop; the ledger works in threads."""

    def __init__(self, records: Records, called_off: Callable[[str], None]) -> None:
        """``called_off`` is told each job that a ban cancelled."""
        self._records = records
        self._called_off = called_off
        self._tries = Tries()

    async def person_key(self, account: str) -> str:
        """The key of the person whom an account belongs to."""
        return await asyncio.to_thread(self._records.person_key, account)

    async def are_one(self, account: str, other: str) -> bool:
        """Whether two accounts belong to one person."""
        return account == other or await self.person_key(account) == await self.person_key(other)

    async def link_code(self, person: Person) -> LinkCode:
        """A code that another account of theirs can show within ten minutes, to be joined to this one.

        Raises :class:`NotAllowed` if this account cannot be linked or is banned.
        """
        _check_linkable(person)
        return await asyncio.to_thread(self._records.link_code, person)

    async def link(self, person: Person, code: str) -> Known:
        """Join this account, with everything it has, to the one that made the code; the person they are now.

        Raises :class:`BadRequest` for a code that does not hold, :class:`LimitReached` after too many tries,
        :class:`NotAllowed` if either account cannot be linked or is banned.
        """
        _check_linkable(person)
        self._tries.count(filter(None, (person.key, person.address)))
        key = await asyncio.to_thread(self._records.link, person, code)
        return await asyncio.to_thread(self._records.one, key)

    async def ban(self, key: str, reason: str, by: Person) -> Known:
        """Take nothing from a person any more, under none of their accounts, and call off what is under way.

        They read the reason. Raises :class:`BadRequest`. Operators only, as all that follows.
        """
        _check_operator(by)
        texts.check("person", key)
        texts.check("reason", reason)
        for job_id in await asyncio.to_thread(self._records.ban, key, reason, by.key):
            self._called_off(job_id)
        return await self.one(key, by)

    async def unban(self, key: str, by: Person) -> Known:
        """Welcome them again. Raises :class:`BadRequest` if they are not banned."""
        _check_operator(by)
        texts.check("person", key)
        await asyncio.to_thread(self._records.unban, key, by.key)
        return await self.one(key, by)

    async def set_role(self, key: str, role: str, by: Person) -> Known:
        """Give them a role; its weight acts at once. Raises :class:`BadRequest`."""
        _check_operator(by)
        texts.check("person", key)
        await asyncio.to_thread(self._records.set_role, key, role, by.key)
        return await self.one(key, by)

    async def code_for(self, key: str, by: Person) -> LinkCode:
        """A code on somebody's behalf, for the operator to hand to them. Raises :class:`BadRequest`."""
        _check_operator(by)
        known = await self.one(key, by)
        return await self.link_code(Person(key, known.name))

    async def one(self, key: str, by: Person) -> Known:
        """The person whom an account belongs to. Raises :class:`BadRequest` if nobody is known by it."""
        _check_operator(by)
        texts.check("person", key)
        return await asyncio.to_thread(self._records.one, key)

    async def all(self, by: Person, *, limit: int = 100, after: str = "", search: str = "") -> list[Known]:
        """People by key, from the first behind ``after``; ``search``: those in whose name or accounts it stands.

        Raises :class:`BadRequest` for what is no text.
        """
        _check_operator(by)
        texts.check("after", after)
        texts.check("search", search)
        return await asyncio.to_thread(self._records.all, limit, after, search)


class Tries:
    """Counts what each account or address tried lately, in this process. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._by: OrderedDict[str, deque[float]] = OrderedDict()
        self._lock = threading.Lock()

    def count(self, whose: Iterable[str]) -> None:
        """One more try. Raises :class:`LimitReached` if one of these had enough; then it does not count."""
        now = self._clock()
        with self._lock:
            found = [self._of(each, now) for each in whose]
            for times in found:
                if len(times) >= TRIES:
                    wait = max(1, round((times[0] + TRIES_WITHIN - now) / 60))
                    raise LimitReached(f"code: {TRIES} tries in {TRIES_WITHIN / 60:.0f} minutes; again in {wait} min")
            for times in found:
                times.append(now)

    def _of(self, key: str, now: float) -> deque[float]:
        times = self._by.setdefault(key, deque())
        self._by.move_to_end(key)
        while times and times[0] <= now - TRIES_WITHIN:
            times.popleft()
        if len(self._by) > _REMEMBERED:
            self._by.popitem(last=False)
        return times


async def act_on(people: People, act: str, body: Mapping[str, Any], by: Person = OPERATOR) -> dict[str, Any]:
    """The operator's acts by name, as the command line and the HTTP API have them: ``body`` in, an answer as JSON out.

    Raises :class:`BadRequest`, and :class:`NotAllowed` for anybody else.
    """
    _check_operator(by)
    key = _text(body, "person")
    match act:
        case "show":
            return as_json(await people.one(key, by))
        case "role":
            return as_json(await people.set_role(key, _text(body, "role"), by))
        case "ban":
            return as_json(await people.ban(key, _text(body, "reason"), by))
        case "unban":
            return as_json(await people.unban(key, by))
        case "link-code":
            return code_as_json(await people.code_for(key, by))
        case _:
            raise BadRequest.of("act", f"{act[:40]!r} is not one of show, role, ban, unban, link-code")


async def listed(people: People, by: Person, limit: int, after: str, search: str) -> dict[str, Any]:
    """A page of people as JSON."""
    found = await people.all(by, limit=limit + 1, after=after, search=search)
    return {"object": "list", "data": [as_json(each) for each in found[:limit]], "has_more": len(found) > limit}


def _text(body: Mapping[str, Any], field: str) -> str:
    value = body.get(field)
    if not isinstance(value, str) or not value.strip() or len(value) > _TEXT_LIMIT or not texts.is_sound(value):
        raise BadRequest.of(field, f"is missing or not text of 1 to {_TEXT_LIMIT} characters")
    return value.strip()


def as_json(known: Known) -> dict[str, Any]:
    """A person as the HTTP API and ``--json`` show it."""
    banned = known.banned.isoformat() if known.banned else None
    return {**asdict(known), "banned": banned, "accounts": list(known.accounts)}


def code_as_json(code: LinkCode) -> dict[str, Any]:
    """A code as the HTTP API and ``--json`` show it."""
    return {"code": code.code, "expires": code.expires.isoformat()}


def _check_operator(by: Person) -> None:
    if not by.operator:
        raise NotAllowed("people: only the operator may look at people and change them")


def _check_linkable(person: Person) -> None:
    if person.operator:
        raise NotAllowed("link: the operator is nobody's account and cannot be linked")
    if person.shared:
        raise NotAllowed("link: you are known by your address only, and others may share it; use an account")
