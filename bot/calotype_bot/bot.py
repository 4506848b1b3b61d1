"""The bot: puts the parts together and lets discord.py drive them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import aiohttp
import discord
from discord import app_commands
from discord.ext import commands

from calotype.errors import CalotypeError
from calotype.studio import Studio
from calotype_bot import imagine, linking, schedule, syncing, vary
from calotype_bot.address import Address
from calotype_bot.buttons import JobButton
from calotype_bot.delivery import Deliverer
from calotype_bot.desk import SORRY, Desk, say
from calotype_bot.presses import Presses
from calotype_bot.wire import NOBODY, Wire

log = logging.getLogger(__name__)


class CalotypeBot(commands.AutoShardedBot):
    """Discord's side of the studio. It reads no messages: the ``guilds`` intent is all it has."""

    def __init__(self, studio: Studio, home: Path | None, **settings: Any) -> None:
        super().__init__(
            command_prefix=(),
            help_command=None,
            intents=discord.Intents(guilds=True),
            allowed_mentions=NOBODY,
            member_cache_flags=discord.MemberCacheFlags.none(),
            max_messages=None,
            chunk_guilds_at_startup=False,
            **settings,
        )
        self.studio, self._home = studio, home
        self.deliverer = Deliverer(studio, Wire(self))
        self.desk = Desk(studio, self.deliverer.watches)
        self._presses = Presses(studio, self.desk)
        imagine.add_to(self.tree, self.desk, studio)
        linking.add_to(self.tree, studio)
        schedule.add_to(self.tree, studio)
        self.tree.error(self._command_failed)

    async def setup_hook(self) -> None:
        """Logged in, not yet connected: what is due can be delivered already."""
        self.add_dynamic_items(JobButton)
        assert self.application_id is not None
        await syncing.sync(self.tree, self.application_id, self._home)
        await self._watch_again()
        self.deliverer.start()

    async def pressed(self, interaction: discord.Interaction[Any], button: JobButton) -> None:
        """A button under one of our messages, however old."""
        await self._presses.pressed(interaction, button)

    async def on_interaction(self, interaction: discord.Interaction[Any]) -> None:
        """Forms; discord.py handles commands and buttons by itself."""
        job_id = vary.job_of(interaction)
        if job_id is not None:
            await self._presses.submitted(interaction, job_id)

    async def on_message(self, message: discord.Message, /) -> None:
        """Nothing: there are no prefix commands."""

    async def close(self) -> None:
        """Leave Discord. Jobs go on; what is not delivered yet is delivered after the next start."""
        await self.deliverer.close()
        await super().close()

    async def _watch_again(self) -> None:
        """Replies of jobs that were under way when the last process ended are kept up to date again."""
        try:
            async for job in self.studio.under_way("discord"):
                try:
                    address = Address.read(job.reply_to or {})
                except TypeError:  # the delivery says so when it comes to it
                    continue
                if not address.expired:
                    self.deliverer.watches.begin(job, address)
        except CalotypeError as error:
            log.error("the history cannot be read: %s", error)  # noqa: TRY400 - one line says it all

    async def _command_failed(self, interaction: discord.Interaction[Any], error: app_commands.AppCommandError) -> None:
        log.error("interaction %s: the command failed", interaction.id, exc_info=error)
        if not interaction.is_expired():
            await say(interaction, SORRY)


def make_bot(
    studio: Studio,
    *,
    connector: aiohttp.BaseConnector | None = None,
    shard_count: int | None = None,
    home: Path | None = None,
) -> CalotypeBot:
    """A bot for this studio, not yet logged in. Call it from a running event loop.

    ``home`` is the folder in which it remembers which commands Discord knows; None registers them at every start.
    """
    return CalotypeBot(studio, home, connector=connector, shard_count=shard_count)
