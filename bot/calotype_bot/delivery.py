"""Brings results to their people from the outbox: at least once, and after a restart as well as now."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import discord
from discord.ext import tasks

from calotype.errors import CalotypeError
from calotype.job import Job, JobStatus
from calotype.studio import Studio
from calotype_bot import files, looks, wire
from calotype_bot.address import Address
from calotype_bot.looks import Look
from calotype_bot.progress import Watches
from calotype_bot.wire import Wire

if TYPE_CHECKING:
    from calotype.ledger import Delivery

_NET: Final = 5.0
"""Seconds between looks into the outbox without being told: for retries that are due, and as a net."""
_AT_ONCE: Final = 4
"""Deliveries at a time: each holds its files in memory."""
ATTEMPTS: Final = 8
"""Tries that Discord may refuse before a delivery is given up. Those that an outage ate do not count."""
FORBIDDEN: Final = "Your result is there, but I may not post it here. Ask a moderator to let me attach files."
_LATE: Final = "in a message of its own"
_SCHEDULED: Final = "in its channel"
_FIRST_WAIT, _LONGEST_WAIT = 5.0, 600.0
log = logging.getLogger(__name__)


class GivenUp(Exception):
    """It can never arrive. The text is kept for the operator."""


class Deliverer:
    """The one component that does the last edit of a job's message."""

    def __init__(self, studio: Studio, line: Wire) -> None:
        self._studio, self._wire = studio, line
        self.watches = Watches(studio, line, self.kick)
        self._gate = asyncio.Semaphore(_AT_ONCE)
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._ended_meanwhile: set[str] = set()
        self._arrived: dict[int, str] = {}
        """How deliveries arrived that are not recorded yet: their record is tried again, not they."""
        self._looking: asyncio.Task[None] | None = None
        self._look_again = False
        self._closed = False
        self._net = tasks.loop(seconds=_NET)(self._cast_net)

    def start(self) -> None:
        """Deliver what is due, now and from now on."""
        self._net.start()

    def kick(self) -> None:
        """Something may be due."""
        if self._closed:
            return
        self._look_again = True
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(), name="look into the outbox")

    async def close(self) -> None:
        """Stop. What was not delivered stays in the outbox."""
        self._closed = True
        self._net.cancel()
        await self.watches.close()
        left = [*self._under_way.values(), *([self._looking] if self._looking else [])]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _cast_net(self) -> None:
        self.kick()

    async def _look(self) -> None:
        while self._look_again:
            self._look_again = False
            self._ended_meanwhile.clear()
            try:
                due = await self._studio.deliveries("discord")
            except CalotypeError as error:
                log.error("the outbox cannot be read: %s", error)  # noqa: TRY400 - one line says it all
                return
            for delivery in due:
                job_id = delivery.job.id
                # one that was delivered while we read is in our list, but no longer in the outbox
                if job_id not in self._under_way and job_id not in self._ended_meanwhile:
                    self._under_way[job_id] = asyncio.create_task(self._deliver(delivery), name=f"deliver {job_id}")

    async def _deliver(self, delivery: Delivery) -> None:
        job = delivery.job
        try:
            await self.watches.quiet(job.id)
            async with self._gate:
                await self._try(delivery)
        except Exception:
            log.exception("job %s: its delivery broke off", job.id)
        finally:
            self._ended_meanwhile.add(job.id)
            self._under_way.pop(job.id, None)

    async def _try(self, delivery: Delivery) -> None:
        job = delivery.job
        try:
            if delivery.id not in self._arrived:  # else only its record failed: it must not be sent again
                self._arrived[delivery.id] = await self._bring(job, _address(delivery))
        except GivenUp as error:
            await self._failed(delivery, str(error), final=True)
        except wire.TROUBLE as error:
            # an outage, however long, uses up no attempt: only refusals do
            worn_out = delivery.attempts + 1 >= ATTEMPTS and not wire.passes(error)
            # without a code of Discord's own it is a proxy's word, which may pass
            final = (getattr(error, "status", 0) in wire.NO_USE and wire.code(error) != 0) or worn_out
            await self._failed(delivery, wire.reason(error), final=final)
        except Exception as error:  # ours: a retry may be after an upgrade, and others must not wait for it
            log.exception("job %s: its message could not be made", job.id)
            await self._failed(delivery, wire.reason(error), final=delivery.attempts + 1 >= ATTEMPTS)
        else:
            await self._studio.delivered(delivery)
            how = self._arrived.pop(delivery.id)
            log.info("job %s: %s, delivered %s", job.id, job.status.value, how)
            if how == _LATE:
                await self._tidy(job, _address(delivery))

    async def _failed(self, delivery: Delivery, reason: str, final: bool) -> None:
        wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(delivery.attempts, 20))
        retry_at = None if final else datetime.now(UTC) + timedelta(seconds=wait)
        await self._studio.delivery_failed(delivery, reason, retry_at)
        then = "given up" if final else f"again in {wait:.0f} s"
        log.warning("job %s: not delivered (%s): %s", delivery.job.id, then, reason)

    async def _bring(self, job: Job, address: Address) -> str:
        """How it was delivered. Raises :class:`GivenUp` or one of :data:`wire.TROUBLE`."""
        self.watches.take_turn()
        if address.message_id is not None and not address.expired:
            try:
                await self._wire.edit(address, await self._look_of(job))
            except wire.TROUBLE as error:
                if wire.code(error) == wire.MESSAGE_GONE:
                    raise GivenUp("the reply was deleted; nobody waits for it") from error
                if isinstance(error, discord.Forbidden):
                    await self._tell_forbidden(job, address)
                if wire.code(error) not in wire.TOKEN_VOID:
                    raise
            else:
                return "in its reply"
        if not address.fallback or address.channel_id is None:
            kind = "private" if address.private else "out of the bot's reach otherwise"
            raise GivenUp(f"the reply can no longer be changed and it was {kind}; the result is in the history")
        look = await self._look_of(job)
        if address.scheduled:
            await self._wire.send(address, looks.scheduled(look, address.name), job.id)
            return _SCHEDULED
        await self._wire.send(address, looks.late(look, address.name), job.id)
        return _LATE

    async def _tell_forbidden(self, job: Job, address: Address) -> None:
        """Its person should know at least. Nothing depends on it."""
        try:
            await self._wire.whisper(address, FORBIDDEN)
        except wire.TROUBLE as error:
            log.debug("job %s: its person could not be told: %s", job.id, wire.reason(error))

    async def _tidy(self, job: Job, address: Address) -> None:
        """The reply still tells of progress: let it say where the result is. Nothing depends on it."""
        if address.message_id is None:
            return
        try:
            await self._wire.replace(address, looks.moved())
        except wire.TROUBLE as error:
            log.debug("job %s: its first reply stays as it was: %s", job.id, wire.reason(error))

    async def _look_of(self, job: Job) -> Look:
        enclosed: Sequence[files.Enclosure] = ()
        missing: Sequence[str] = ()
        if job.status is JobStatus.FINISHED:
            enclosed, missing = await asyncio.to_thread(files.enclose, job.pictures, self._studio.picture_path)
        return looks.ended(job, self._studio, enclosed, missing)


def _address(delivery: Delivery) -> Address:
    try:
        return Address.read(delivery.reply_to)
    except TypeError as error:
        raise GivenUp(f"its address cannot be read: {type(error).__name__}") from None
