"""What the buttons do."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import discord

from calotype.errors import UnknownJob
from calotype.job import Job, JobStatus
from calotype.person import Person
from calotype.request import Request
from calotype.studio import Studio
from calotype_bot import looks, vary, wire
from calotype_bot.address import Address
from calotype_bot.buttons import JobButton, Press
from calotype_bot.desk import SOMEBODY_ELSES, SORRY, UNKNOWN, Desk, key_of, person_of, say

log = logging.getLogger(__name__)
Act = Callable[[discord.Interaction[Any], str], Awaitable[None]]


class Presses:
    """Re-roll and vary are the owner's; cancel and delete also belong to whoever may manage messages there."""

    def __init__(self, studio: Studio, desk: Desk) -> None:
        self._studio, self._desk = studio, desk
        self._acts: dict[Press, Act] = {
            Press.REROLL: self._reroll,
            Press.VARY: self._vary,
            Press.CANCEL: self._cancel,
            Press.DELETE: self._delete,
        }

    async def pressed(self, interaction: discord.Interaction[Any], button: JobButton) -> None:
        """Somebody pressed a button."""
        try:
            may_moderate = button.press in (Press.CANCEL, Press.DELETE) and _moderates(interaction)
            if not may_moderate and not await self._is_owner(interaction, button):
                await say(interaction, SOMEBODY_ELSES)
                return
            await self._acts[button.press](interaction, button.job_id)
        except UnknownJob:
            await say(interaction, UNKNOWN)
        except wire.TROUBLE as error:
            log.warning("job %s: %s was not answered: %s", button.job_id, button.press.value, wire.reason(error))
        except Exception:
            log.exception("job %s: %s failed", button.job_id, button.press.value)
            await say(interaction, SORRY)

    async def _is_owner(self, interaction: discord.Interaction[Any], button: JobButton) -> bool:
        """Whether it is the account that asked, or another one of the same person."""
        return await self._studio.people.are_one(key_of(interaction.user.id), key_of(button.owner))

    async def submitted(self, interaction: discord.Interaction[Any], job_id: str) -> None:
        """Somebody sent the form that *Vary* opened."""

        async def make() -> Request:
            return vary.varied(await self._studio.job(job_id, person_of(interaction)), interaction)

        await self._desk.take(interaction, make, private=_is_private(interaction))

    async def _reroll(self, interaction: discord.Interaction[Any], job_id: str) -> None:
        async def make() -> Request:
            job = await self._studio.job(job_id, person_of(interaction))
            return job.request.model_copy(update={"seed": None})

        await self._desk.take(interaction, make, private=_is_private(interaction))

    async def _vary(self, interaction: discord.Interaction[Any], job_id: str) -> None:
        job = await self._studio.job(job_id, person_of(interaction))  # a form must be the first answer
        if job.pictures and not any(self._is_kept(picture.sha256) for picture in job.pictures):
            await say(interaction, vary.GONE)
            return
        catalog = self._studio.catalog
        model = catalog.models.get(job.request.model or "", catalog.models[catalog.default_model])
        await interaction.response.send_modal(vary.VaryForm(job, model.defaults.strength))

    def _is_kept(self, sha256: str) -> bool:
        try:
            self._studio.picture_path(sha256)
        except KeyError:
            return False
        return True

    async def _cancel(self, interaction: discord.Interaction[Any], job_id: str) -> None:
        await _acknowledge(interaction, job_id)  # the message itself says what became of it: see delivery.py
        job = await self._studio.cancel(job_id, await self._as(interaction, job_id))
        log.info("job %s: cancel was pressed; it is %s", job_id, job.status.value)
        if job.status is not JobStatus.CANCELLED:
            await say(interaction, "It was over already.")
        elif Address.read(job.reply_to or {}).out_of_reach:
            # its own token is void and no message of ours may follow it: this press's token is what is left
            await interaction.edit_original_response(view=looks.ended(job, self._studio, (), ()).view, attachments=[])

    async def _delete(self, interaction: discord.Interaction[Any], job_id: str) -> None:
        await _acknowledge(interaction, job_id)
        try:
            await self._studio.erase(job_id, await self._as(interaction, job_id))
            log.info("job %s: erased", job_id)
        except UnknownJob:  # no longer kept, but its message still hangs there
            log.info("job %s: is not known any more, its message goes", job_id)
        try:
            await interaction.delete_original_response()
        except wire.TROUBLE as error:
            log.warning("job %s: its message could not be removed: %s", job_id, wire.reason(error))
            await say(interaction, "The picture is deleted here, but I could not remove this message.")

    async def _as(self, interaction: discord.Interaction[Any], job_id: str) -> Person:
        """On whose behalf: a moderator acts on jobs of their own server only. Raises :class:`UnknownJob`."""
        person = person_of(interaction)
        job: Job = await self._studio.job(job_id)
        if await self._studio.is_of(job, person):
            return person
        if not _moderates(interaction) or (job.reply_to or {}).get("guild_id") != interaction.guild_id:
            raise UnknownJob(job_id)
        return Person(person.key, person.name, operator=True)


async def _acknowledge(interaction: discord.Interaction[Any], job_id: str) -> None:
    """Tell Discord that we have it. What was pressed is done even if the line breaks at this moment."""
    try:
        await interaction.response.defer()
    except wire.TROUBLE as error:
        log.warning("job %s: a press was not acknowledged: %s", job_id, wire.reason(error))


def _moderates(interaction: discord.Interaction[Any]) -> bool:
    return interaction.guild_id is not None and interaction.permissions.manage_messages


def _is_private(interaction: discord.Interaction[Any]) -> bool:
    """An answer to a message that only one person sees is for that person only."""
    return interaction.message is not None and interaction.message.flags.ephemeral
