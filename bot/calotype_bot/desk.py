"""Takes orders: acknowledges first, then checks and submits, and tells only the person what is wrong with one."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import discord

from calotype.errors import BadRequest, CalotypeError, NotAllowed, UnknownJob
from calotype.person import Person
from calotype.request import Request
from calotype.studio import Studio
from calotype_bot import text, wire
from calotype_bot.address import Address
from calotype_bot.progress import Watches

UNKNOWN: Final = "That picture is not known here any more: it was deleted, or it is no longer kept."
SOMEBODY_ELSES: Final = "That is somebody else's picture. Make one of your own with /imagine."
REFUSED: Final = "-# Nothing was queued; only the person who asked sees why."
SORRY: Final = "Sorry, something went wrong here, and it was not your fault. Please try again in a moment."
_REMEMBERED: Final = 10_000
log = logging.getLogger(__name__)

Make = Callable[[], Awaitable[Request]]
"""Builds what is asked for. Raises :class:`BadRequest`, :class:`UnknownJob`."""


@dataclass(frozen=True)
class Ack:
    """An interaction that Discord knows we have. ``message_id`` is its reply's, None if Discord did not say."""

    message_id: int | None


class Desk:
    """Where every order comes in, from the command, from a button or from a form."""

    def __init__(self, studio: Studio, watches: Watches) -> None:
        self._studio, self._watches = studio, watches
        self._seen: OrderedDict[int, None] = OrderedDict()

    async def take(self, interaction: discord.Interaction[Any], make: Make, *, private: bool) -> None:
        """One interaction, one job, one answer, however often Discord sends it."""
        if self._known(interaction.id):
            return
        missing = lacks(interaction, private)
        if missing:
            await say(interaction, f"I may not {missing} here. Ask a moderator to allow it, or try another channel.")
            return
        ack = await acknowledge(interaction, private)
        if ack is None:
            return
        try:
            await self._submit(interaction, await make(), Address.of(interaction, ack.message_id, private))
        except (BadRequest, NotAllowed, UnknownJob) as error:
            await self._refuse(interaction, private, refusal(error))
        except Exception:
            log.exception("interaction %s: it could not be submitted", interaction.id)
            await self._refuse(interaction, private, SORRY)

    async def _submit(self, interaction: discord.Interaction[Any], request: Request, address: Address) -> None:
        person = person_of(interaction)
        key = f"discord:{interaction.id}"
        job = await self._studio.submit(request, person, key=key, reply_to=address.written())
        log.info("job %s: submitted by interaction %s", job.id, interaction.id)
        if not job.status.final:
            self._watches.begin(job, address)

    def _known(self, interaction_id: int) -> bool:
        """Whether this process has it already. Another one's is recognised by its key in the ledger."""
        known = interaction_id in self._seen
        self._seen[interaction_id] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return known

    async def _refuse(self, interaction: discord.Interaction[Any], private: bool, words: str) -> None:
        """Say why, to the person alone. A public answer must be completed before it can be followed by a private one
        (Discord takes the first follow-up for the answer itself), and goes once that is there.
        """
        try:
            if not private:
                await interaction.edit_original_response(content=REFUSED, allowed_mentions=wire.NOBODY)
            await interaction.followup.send(words, ephemeral=True, allowed_mentions=wire.NOBODY)
            if not private:
                await interaction.delete_original_response()
        except wire.TROUBLE as error:
            log.warning("interaction %s: its refusal was not delivered: %s", interaction.id, wire.reason(error))


async def acknowledge(interaction: discord.Interaction[Any], private: bool) -> Ack | None:
    """Tell Discord, within its three seconds, that an answer comes. None if it is too late for any answer."""
    answer = None
    for attempt in (1, 2):  # a line that breaks at this moment must not cost the person their picture
        try:
            answer = await interaction.response.defer(ephemeral=private, thinking=True)
            break
        except wire.TROUBLE as error:
            # our first try can have arrived although its answer was lost, so that the second one finds it done
            if wire.code(error) == wire.ALREADY_ACKNOWLEDGED:
                break
            if attempt == 2 or not wire.passes(error):
                log.warning("interaction %s: not acknowledged: %s", interaction.id, wire.reason(error))
                return None
    if answer is not None and answer.message_id is not None:
        return Ack(answer.message_id)
    try:
        return Ack((await interaction.original_response()).id)
    except wire.TROUBLE:
        return Ack(None)


async def say(interaction: discord.Interaction[Any], words: str) -> None:
    """A few words that only the person sees, as the answer or after it."""
    try:
        if interaction.response.is_done():
            await interaction.followup.send(words, ephemeral=True, allowed_mentions=wire.NOBODY)
        else:
            await interaction.response.send_message(words, ephemeral=True, allowed_mentions=wire.NOBODY)
    except wire.TROUBLE as error:
        log.warning("interaction %s: not answered: %s", interaction.id, wire.reason(error))


def refusal(error: CalotypeError) -> str:
    """What a person is told who cannot have it."""
    if isinstance(error, BadRequest):
        return text.problems(error.problems)
    return UNKNOWN if isinstance(error, UnknownJob) else text.plain(str(error), 500)


def person_of(interaction: discord.Interaction[Any]) -> Person:
    """Who asks: the same person in every server."""
    guild = None if interaction.guild_id is None else f"discord:{interaction.guild_id}"
    return Person(key_of(interaction.user.id), interaction.user.display_name, guild=guild)


def key_of(user_id: int) -> str:
    """A Discord account, as the ledger knows it."""
    return f"discord:{user_id}"


def lacks(interaction: discord.Interaction[Any], private: bool) -> str:
    """What the bot may not do here and would have to, in words; nothing if all is well or Discord does not say.

    In a direct message there are no permissions, and a bot that is installed for a person only posts nothing itself.
    """
    if interaction.guild_id is None:
        return ""
    may = interaction.app_permissions
    by_user_install = interaction.is_user_integration() and not interaction.is_guild_integration()
    in_thread = isinstance(interaction.channel, discord.Thread)
    posts = may.send_messages_in_threads if in_thread else may.send_messages
    needed = {
        "see this channel": may.view_channel or private or by_user_install,
        "post messages": posts or private or by_user_install,
        "attach files": may.attach_files,
    }
    return " or ".join(what for what, allowed in needed.items() if not allowed)
