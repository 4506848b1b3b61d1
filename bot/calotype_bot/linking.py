"""``/link``: one person on Discord and elsewhere. Without a code it makes one, with one it joins its maker."""

from __future__ import annotations

import logging
from typing import Any

import discord
from discord import app_commands

from calotype.errors import BadRequest, CalotypeError, NotAllowed
from calotype.studio import Studio
from calotype_bot import text, wire
from calotype_bot.desk import SORRY, acknowledge, person_of

log = logging.getLogger(__name__)


def add_to(tree: app_commands.CommandTree[Any], studio: Studio) -> None:
    """Offer ``/link``, in servers and in direct messages. Only the person sees its answers."""

    @tree.command(name="link", description="Join this account with another one of yours: one queue, one history")
    @app_commands.describe(code="The code that your other account was given. Leave it out to get one")
    @app_commands.allowed_installs(guilds=True, users=True)
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    async def link(interaction: discord.Interaction[Any], code: app_commands.Range[str, 1, 40] | None = None) -> None:
        if await acknowledge(interaction, private=True) is None:
            return
        try:
            words = await _made(interaction, studio) if code is None else await _linked(interaction, studio, code)
        except (BadRequest, NotAllowed) as error:
            words = _refusal(error)
        except Exception:
            log.exception("interaction %s: it could not be linked", interaction.id)
            words = SORRY
        try:
            await interaction.edit_original_response(content=words, allowed_mentions=wire.NOBODY)
        except wire.TROUBLE as error:
            log.warning("interaction %s: not answered: %s", interaction.id, wire.reason(error))


async def _made(interaction: discord.Interaction[Any], studio: Studio) -> str:
    made = await studio.people.link_code(person_of(interaction))
    return (
        f"Your code is `{made.code}`. Show it to your other account within 10 minutes: with /link there, or on the "
        "web. That account, with its pictures and its queue, is then this one. It cannot be undone: show the code to "
        "nobody else."
    )


async def _linked(interaction: discord.Interaction[Any], studio: Studio, code: str) -> str:
    known = await studio.people.link(person_of(interaction), code)
    log.info("interaction %s: linked", interaction.id)
    return f"Done. {len(known.accounts)} accounts are one person now, with one queue and one history."


def _refusal(error: CalotypeError) -> str:
    if isinstance(error, BadRequest):
        return "\n".join(
            f"• **{text.plain(each.field, 60)}**: {text.plain(each.message, 300)}" for each in error.problems
        )
    return text.plain(str(error), 600)
