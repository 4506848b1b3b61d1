"""``/schedule``: prompts whose pictures are posted to a channel at set times. For those who may manage the server."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import discord
from discord import app_commands

from calotype.cron import LENGTH
from calotype.errors import BadRequest, NotAllowed
from calotype.request import IMAGES_LIMIT, PROMPT_LIMIT, STEPS_LIMIT
from calotype.studio import Studio
from calotype.timetable import as_json
from calotype_bot import text, wire
from calotype_bot.address import Address
from calotype_bot.desk import SORRY, acknowledge, lacks, person_of, refusal, say
from calotype_bot.imagine import request_of

_SHOWN: Final = 20
_PROMPT_SHOWN: Final = 60
log = logging.getLogger(__name__)


def add_to(tree: app_commands.CommandTree[Any], studio: Studio) -> None:
    """Offer it, in servers. Only the person sees its answers; the pictures are everybody's."""
    group = app_commands.Group(
        name="schedule",
        description="Have pictures made and posted here at set times",
        guild_only=True,
        allowed_installs=app_commands.AppInstallationType(guild=True, user=False),
        default_permissions=discord.Permissions(manage_guild=True),
    )

    @group.command(name="add", description="Make a picture again and again, and post it in this channel")
    @app_commands.describe(
        when="Minute hour day month weekday, e.g. 0 9 * * mon, or @daily",
        prompt="What you would like to see",
        timezone="Of these times, e.g. Europe/Berlin; UTC unless you say so",
        steps=f"How many steps it develops for, 1 to {STEPS_LIMIT}",
        images=f"How many pictures, 1 to {IMAGES_LIMIT}",
    )
    async def add(
        interaction: discord.Interaction[Any],
        when: app_commands.Range[str, 1, LENGTH],
        prompt: app_commands.Range[str, 1, PROMPT_LIMIT],
        timezone: app_commands.Range[str, 1, LENGTH] = "UTC",
        steps: app_commands.Range[int, 1, STEPS_LIMIT] | None = None,
        images: app_commands.Range[int, 1, IMAGES_LIMIT] | None = None,
    ) -> None:
        missing = lacks(interaction, False)
        if missing:
            await say(interaction, f"I may not {missing} here. Ask a moderator to allow it, or try another channel.")
            return

        async def answer() -> str:
            request = request_of({"prompt": prompt, "steps": steps, "images": images})
            address = Address.scheduled_by(interaction)
            person = person_of(interaction)
            added = await studio.timetable.add(request, person, when, timezone, reply_to=address.written())
            at = as_json(added)["next"]
            return f"Number {added.id}. The next one is posted here at {text.plain(str(at), 40)}."

        await _answer(interaction, answer)

    @group.command(name="list", description="What is scheduled in this server, and by you elsewhere")
    async def list_(interaction: discord.Interaction[Any]) -> None:
        async def answer() -> str:
            person = person_of(interaction)
            found = await studio.timetable.list(person, manages=_manages(interaction))
            own = await studio.people.person_key(person.key)
            lines = [
                f"**{each.id}** · `{each.cron}` {text.plain(each.timezone, 40)} · "
                f"{text.plain(each.request.prompt, _PROMPT_SHOWN)}"
                + ("" if each.person == own else " · by somebody else")
                + (f"\n-# the last one was refused: {text.plain(each.error, 100)}" if each.error else "")
                for each in found[:_SHOWN]
            ]
            return "\n".join(lines)[:1900] or "Nothing is scheduled."

        await _answer(interaction, answer)

    @group.command(name="remove", description="End one; the pictures that it made stay")
    @app_commands.describe(number="Its number, as /schedule list shows it")
    async def remove(interaction: discord.Interaction[Any], number: app_commands.Range[int, 1, 2**31]) -> None:
        async def answer() -> str:
            await studio.timetable.remove(number, person_of(interaction), manages=_manages(interaction))
            return f"Number {number} is removed."

        await _answer(interaction, answer)

    tree.add_command(group)


def _manages(interaction: discord.Interaction[Any]) -> bool:
    """Discord says so; a server may have opened the command to others."""
    return interaction.guild_id is not None and interaction.permissions.manage_guild


async def _answer(interaction: discord.Interaction[Any], make: Callable[[], Awaitable[str]]) -> None:
    if await acknowledge(interaction, private=True) is None:
        return
    try:
        words = await make()
    except (BadRequest, NotAllowed) as error:
        words = refusal(error)
    except Exception:
        log.exception("interaction %s: nothing was scheduled", interaction.id)
        words = SORRY
    try:
        await interaction.edit_original_response(content=words, allowed_mentions=wire.NOBODY)
    except wire.TROUBLE as error:
        log.warning("interaction %s: not answered: %s", interaction.id, wire.reason(error))
