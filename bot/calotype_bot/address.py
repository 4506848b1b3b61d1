"""Where an answer goes, as the ledger keeps it with the job: enough to deliver it from a process not yet born."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import discord

TOKEN_LIVES: Final = 15 * 60.0
"""Seconds for which Discord takes an interaction's token."""
_MARGIN: Final = 15.0
"""Seconds before that after which we no longer try: an upload takes a while."""


@dataclass(frozen=True)
class Address:
    """Of one interaction's reply. ``fallback``: once the token is void, a message in the channel may take its place."""

    application_id: int
    token: str = field(repr=False)
    created: float
    """Seconds since the epoch at which the interaction came in."""
    channel_id: int | None
    guild_id: int | None
    message_id: int | None
    user_id: int
    name: str
    private: bool
    fallback: bool

    @classmethod
    def of(cls, interaction: discord.Interaction[Any], message_id: int | None, private: bool) -> Address:
        """Of an interaction that was acknowledged."""
        by_user_install = interaction.is_user_integration() and not interaction.is_guild_integration()
        return cls(
            application_id=interaction.application_id,
            token=interaction.token,
            created=discord.utils.utcnow().timestamp(),  # not the interaction's own time: our clock is asked later
            channel_id=interaction.channel_id,
            guild_id=interaction.guild_id,
            message_id=message_id,
            user_id=interaction.user.id,
            name=interaction.user.display_name,
            private=private,
            # nobody but its reader sees an ephemeral reply, and a bot that is installed for a person only is no
            # member of the channel
            fallback=not private and not by_user_install and not interaction.context.private_channel,
        )

    @classmethod
    def scheduled_by(cls, interaction: discord.Interaction[Any]) -> Address:
        """The channel of an interaction, for pictures that come later and that nobody waits for."""
        assert interaction.channel_id is not None
        who = interaction.user
        return cls.channel(interaction.channel_id, interaction.guild_id, user_id=who.id, name=who.display_name)

    @classmethod
    def channel(cls, channel_id: int, guild_id: int | None = None, *, user_id: int = 0, name: str = "") -> Address:
        """A message of the bot's own in a channel."""
        return cls(
            application_id=0,
            token="",
            created=0.0,
            channel_id=channel_id,
            guild_id=guild_id,
            message_id=None,
            user_id=user_id,
            name=name,
            private=False,
            fallback=True,
        )

    @classmethod
    def read(cls, reply_to: Mapping[str, Any]) -> Address:
        """From what the ledger kept. Raises TypeError if it is not one."""
        return cls(**{key: value for key, value in reply_to.items() if key != "front_end"})

    def written(self) -> dict[str, Any]:
        """As the ledger keeps it."""
        return {"front_end": "discord", **asdict(self)}

    @property
    def scheduled(self) -> bool:
        """Whether no interaction asked for it."""
        return not self.token

    @property
    def out_of_reach(self) -> bool:
        """Whether neither the reply can be changed nor a message of the bot's own may follow it."""
        return self.expired and not self.fallback

    @property
    def expired(self) -> bool:
        """Whether Discord will not take the token any more."""
        return discord.utils.utcnow().timestamp() - self.created > TOKEN_LIVES - _MARGIN
