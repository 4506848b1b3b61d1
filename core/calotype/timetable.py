"""Scheduled prompts, as front ends and the operator deal with them. Part of the studio."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Protocol

from calotype import texts
from calotype.cron import Times
from calotype.errors import BadRequest, CalotypeError, DatabaseError, NotAllowed
from calotype.job import Job
from calotype.person import Person
from calotype.request import Request

if TYPE_CHECKING:
    from calotype.ledger.timetable import Due, ScheduledPrompt
    from calotype.ledger.timetable import Timetable as Records

_TEXT_LIMIT: Final = 1000
log = logging.getLogger(__name__)


class Submit(Protocol):
    """The studio's door."""

    def __call__(
        self,
        request: Request,
        person: Person,
        *,
        key: str | None = None,
        reply_to: Mapping[str, Any] | None = None,
        scheduled: int | None = None,
    ) -> Awaitable[Job]:
        """See :meth:`Studio.submit`."""
        ...


class Timetable:
    """Coroutines of the studio's event loop; the ledger works in threads."""

    def __init__(self, records: Records, check: Callable[[Request, Person], Awaitable[None]], submit: Submit) -> None:
        """``check`` raises :class:`BadRequest` for what would not be accepted."""
        self._records, self._check, self._submit = records, check, submit

    async def add(
        self,
        request: Request,
        person: Person,
        cron: str,
        timezone: str = "UTC",
        *,
        reply_to: Mapping[str, Any] | None = None,
    ) -> ScheduledPrompt:
        """Submit the request as this person at all times that the cron expression names, in that time zone.

        What the request leaves open, the seed above all, is chosen anew each time. Raises :class:`BadRequest`.
        """
        for field, value in {"cron": cron, "timezone": timezone, "reply_to": reply_to}.items():
            texts.check(field, value)
        if request.init_image is not None:
            raise BadRequest.of("init_image", "a scheduled prompt cannot start from a picture: uploads are not kept")
        await self._check(request, person)
        return await asyncio.to_thread(self._records.add, person, cron, timezone, request, reply_to)

    async def list(self, person: Person, *, manages: bool = False) -> list[ScheduledPrompt]:
        """The person's, oldest first; of an operator everybody's.

        One who ``manages`` the Discord server that they speak in sees all of that server's as well.
        """
        key, guild = None if person.operator else person.key, person.guild if manages else None
        return await asyncio.to_thread(self._records.all, key, guild)

    async def remove(self, prompt_id: int, person: Person, *, manages: bool = False) -> None:
        """End one of those that :meth:`list` shows; jobs that it has made stay. Raises :class:`BadRequest`."""
        guild = person.guild if manages else None
        removed = await asyncio.to_thread(self._records.remove, prompt_id, person, guild)
        if not removed:
            raise BadRequest.of("id", f"{prompt_id} is not one of your scheduled prompts; list them")

    async def submit_due(self) -> int:
        """Submit what is due, each as its owner, through the door that everybody uses. How many it were.

        What is refused (a cap, a ban, a blocked word) is noted with the prompt and tried again at its next time. Raises
        :class:`DatabaseError`; then what is left is tried again soon.
        """
        submitted = 0
        for due in await asyncio.to_thread(self._records.due):
            error = await self._submit_one(due)
            submitted += error is None
            await asyncio.to_thread(self._records.done, due, error)
        return submitted

    async def _submit_one(self, due: Due) -> str | None:
        """Why it was refused."""
        prompt = due.prompt
        try:
            # one that was submitted already, by a process that was killed before it could say so, is found by its key
            job = await self._submit(
                prompt.request, due.person, key=due.key, reply_to=prompt.reply_to, scheduled=prompt.id
            )
        except DatabaseError:
            raise
        except CalotypeError as error:
            log.warning("scheduled prompt %d was refused: %s", prompt.id, type(error).__name__)
            return str(error)
        except Exception as error:
            log.exception("scheduled prompt %d could not be submitted", prompt.id)
            return f"something went wrong ({type(error).__name__}); the operator finds it in the log"
        log.info("scheduled prompt %d: job %s", prompt.id, job.id)
        return None


_FIELDS: Final = ("cron", "timezone", "request", "owner", "reply_to")


async def add_from(timetable: Timetable, body: Mapping[str, Any], by: Person) -> dict[str, Any]:
    """What the command line and the HTTP API add: an object in, the scheduled prompt as JSON out. Operators only.

    ``owner`` is the account in whose name it is submitted, the operator's own unless it is named; ``reply_to`` is where
    a front end delivers. Raises :class:`BadRequest` and, for anybody else, :class:`NotAllowed`.
    """
    _check_operator(by)
    if strange := [name for name in body if name not in _FIELDS]:
        raise BadRequest.of(strange[0][:40], f"is not one of {', '.join(_FIELDS)}")
    request, reply_to = body.get("request"), body.get("reply_to")
    if not isinstance(request, Mapping):
        raise BadRequest.of("request", 'is missing; give one such as {"prompt": "blue cat"}')
    front_end = reply_to.get("front_end") if isinstance(reply_to, Mapping) else None
    if reply_to is not None and not (isinstance(front_end, str) and front_end):
        raise BadRequest.of("reply_to", 'is not an object whose "front_end" names who delivers')
    owner = _text(body, "owner", by.key)
    added = await timetable.add(
        Request.parse(dict(request)),
        by if owner == by.key else Person(owner),
        _text(body, "cron"),
        _text(body, "timezone", "UTC"),
        reply_to=reply_to,
    )
    return as_json(added)


async def listed(timetable: Timetable, by: Person) -> dict[str, Any]:
    """All of them as JSON. Operators only."""
    _check_operator(by)
    return {"object": "list", "data": [as_json(each) for each in await timetable.list(by)]}


async def removed(timetable: Timetable, prompt_id: int, by: Person) -> dict[str, Any]:
    """End one. Operators only."""
    _check_operator(by)
    await timetable.remove(prompt_id, by)
    return {"id": prompt_id, "removed": True}


def as_json(prompt: ScheduledPrompt) -> dict[str, Any]:
    """A scheduled prompt as the HTTP API and ``--json`` show it. Where it is delivered only by its front end's name."""
    try:
        coming = Times(prompt.cron, prompt.timezone).after(datetime.now(UTC))
    except BadRequest:  # a time zone that this machine does not know
        coming = None
    return {
        "id": prompt.id,
        "owner": prompt.person,
        "cron": prompt.cron,
        "timezone": prompt.timezone,
        "next": None if coming is None else coming.isoformat(),
        "request": prompt.request.model_dump(mode="json", exclude_none=True),
        "front_end": None if prompt.reply_to is None else prompt.reply_to.get("front_end"),
        "created": prompt.created.isoformat(),
        "error": prompt.error,
    }


def _text(body: Mapping[str, Any], field: str, default: str | None = None) -> str:
    value = body.get(field, default)
    if not isinstance(value, str) or not value.strip() or len(value) > _TEXT_LIMIT or not texts.is_sound(value):
        raise BadRequest.of(field, f"is missing or not text of 1 to {_TEXT_LIMIT} characters")
    return value.strip()


def _check_operator(by: Person) -> None:
    if not by.operator:
        raise NotAllowed("schedule: only the operator may schedule prompts here")
