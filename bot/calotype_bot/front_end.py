"""Discord as a front end of ``calotype serve``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Final

from calotype.config import Settings
from calotype.errors import BadRequest, SetupError
from calotype.frontend import FrontEnd, Hosting

if TYPE_CHECKING:
    from calotype_bot.bot import CalotypeBot

_FIRST_WAIT: Final = 5.0
_LONGEST_WAIT: Final = 300.0
log = logging.getLogger(__name__)


_REFUSED = "DISCORD_TOKEN: Discord refuses it; copy it anew from the developer portal (Bot, Reset Token)"
_TOKEN_REFUSED = 4004
_DIGITS: Final = 20


class Discord(FrontEnd):
    """``/imagine`` on Discord servers. ``connector`` makes an aiohttp connector, for tests that bring a Discord."""

    name = "discord"
    part = "bot"

    def __init__(self, connector: Callable[[], Any] | None = None) -> None:
        self._connector = connector

    def absent(self, settings: Settings) -> str | None:
        """Without a token there is no bot."""
        if settings.discord_token is None or not settings.discord_token.get_secret_value().strip():
            return "DISCORD_TOKEN is not set; the README's section 'The Discord bot' tells how to get one"
        return None

    def reply_to(self, channel: str) -> Mapping[str, Any]:
        """A channel by its number."""
        from calotype_bot.address import Address

        if not (channel.isascii() and channel.isdigit() and len(channel) <= _DIGITS):
            raise BadRequest.of("channel", f"{channel[:40]!r} is not a channel's number (Copy Channel ID)")
        return Address.channel(int(channel)).written()

    async def run(self, hosting: Hosting) -> None:
        """Be on Discord until cancelled, while no other process is. Raises :class:`SetupError` for a refused token."""
        import aiohttp  # both are slow to import: only where there is a token
        import discord

        # at DEBUG discord.py logs whole payloads, and with them the tokens that answer interactions
        logging.getLogger("discord").setLevel(logging.INFO)
        token = hosting.settings.discord_token
        assert token is not None
        wait = _FIRST_WAIT
        while True:
            await hosting.studio.turns.wait(self.name)
            bot = self._make(hosting)
            try:
                async with bot:
                    if await self._while_active(hosting, bot.start(token.get_secret_value().strip())):
                        return
                continue
            except discord.LoginFailure:
                raise SetupError(_REFUSED) from None
            except discord.ConnectionClosed as error:  # the gateway's word; 4004 is a token that was reset
                if error.code == _TOKEN_REFUSED:
                    raise SetupError(_REFUSED) from None
                log.warning("Discord closed the connection (%d); again in %.0f s", error.code, wait)
            except (aiohttp.ClientError, OSError, discord.HTTPException, discord.GatewayNotFound) as error:
                # the page and the API go on meanwhile
                log.warning("Discord cannot be reached (%s); again in %.0f s", type(error).__name__, wait)
            await asyncio.sleep(wait)
            wait = min(_LONGEST_WAIT, wait * 2)

    async def _while_active(self, hosting: Hosting, start: Coroutine[Any, Any, None]) -> bool:
        """Whether it ended by itself. False: another process is on Discord now, this one has to leave it."""
        starting = asyncio.create_task(start)
        lost = asyncio.create_task(hosting.studio.turns.lost(self.name))
        try:
            await asyncio.wait({starting, lost}, return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()  # raises what it raised
                return True
            log.warning("another process is on Discord now; this one stands by")
            return False
        finally:
            for task in (starting, lost):
                task.cancel()
            await asyncio.gather(starting, lost, return_exceptions=True)

    def _make(self, hosting: Hosting) -> CalotypeBot:
        from calotype_bot.bot import make_bot

        connector = self._connector() if self._connector is not None else None
        return make_bot(hosting.studio, connector=connector, home=hosting.home.folder)
