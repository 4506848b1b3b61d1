"""The calls to Discord that change our own messages, and what its refusals mean."""

from __future__ import annotations

import hashlib
import re
from typing import Final

import aiohttp
import discord

from calotype_bot.address import Address
from calotype_bot.looks import Look

TOKEN_VOID: Final = frozenset({50027, 10015, 10062})
"""Invalid webhook token, unknown webhook, unknown interaction: the reply cannot be reached by its token any more."""
MESSAGE_GONE: Final = 10008
ALREADY_ACKNOWLEDGED: Final = 40060
NO_USE: Final = frozenset({400, 403, 404, 405, 413})
"""HTTP statuses with which the same call is refused again, however often it is made."""
TROUBLE: Final = (discord.DiscordException, aiohttp.ClientError, OSError, TimeoutError)
"""What a call may raise."""
_SECRET: Final = re.compile(r"(webhooks|interactions)/[^\s'\"]+")
NOBODY: Final = discord.AllowedMentions.none()


class Wire:
    """Edits and sends for one bot. Raises one of :data:`TROUBLE`."""

    def __init__(self, bot: discord.Client) -> None:
        self._bot = bot

    async def edit(self, address: Address, look: Look) -> None:
        """Change the reply by its token. Works wherever the command was used."""
        assert address.message_id is not None
        hook = discord.Webhook.partial(address.application_id, address.token, client=self._bot)
        try:
            await hook.edit_message(address.message_id, view=look.view, attachments=look.files, allowed_mentions=NOBODY)
        finally:
            look.close()

    async def whisper(self, address: Address, words: str) -> None:
        """A few words that only the person sees, after a reply that could not be made."""
        hook = discord.Webhook.partial(address.application_id, address.token, client=self._bot)
        hook.type = discord.WebhookType.application  # an interaction's; only these can whisper
        await hook.send(words, ephemeral=True, allowed_mentions=NOBODY)

    async def send(self, address: Address, look: Look, job_id: str) -> None:
        """A message of our own in the channel. Discord drops a repeated one by its nonce (for some minutes)."""
        assert address.channel_id is not None
        channel = self._bot.get_partial_messageable(address.channel_id, guild_id=address.guild_id)
        try:
            await channel.send(view=look.view, files=look.files, nonce=nonce(job_id), allowed_mentions=NOBODY)
        finally:
            look.close()

    async def replace(self, address: Address, look: Look) -> None:
        """Change a reply whose token is void, as one of the bot's own messages in the channel."""
        assert address.channel_id is not None and address.message_id is not None
        channel = self._bot.get_partial_messageable(address.channel_id, guild_id=address.guild_id)
        message = channel.get_partial_message(address.message_id)
        await message.edit(view=look.view, attachments=[], allowed_mentions=NOBODY)


def passes(error: BaseException) -> bool:
    """Whether it lies at the line or at Discord's health, so that the same call may well go through later."""
    if isinstance(error, discord.HTTPException):
        return error.status == 429 or error.status >= 500
    return isinstance(error, aiohttp.ClientError | OSError | TimeoutError)


def nonce(job_id: str) -> str:
    """The same for the same job, and within the 25 characters that Discord takes."""
    return "c" + hashlib.sha256(job_id.encode()).hexdigest()[:24]


def code(error: BaseException) -> int:
    """Discord's own number for what went wrong, 0 if there is none."""
    return error.code if isinstance(error, discord.HTTPException) else 0


def reason(error: BaseException) -> str:
    """One line for the log and the outbox."""
    if isinstance(error, discord.HTTPException):
        return f"HTTP {error.status}, code {error.code}: {' '.join(error.text.split())[:200]}"
    # aiohttp's own errors hold the whole address, and with it the token that answers the interaction
    words = _SECRET.sub(r"\1/…", " ".join(str(error).split()))
    return f"{type(error).__name__}: {words[:200]}"
