"""What this Discord knows: people, channels, messages, interactions, commands. No transport in here."""

from __future__ import annotations

import itertools
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from little_discord.refusal import UNKNOWN_CHANNEL, UNKNOWN_MESSAGE, Refusal
from little_discord.rules_messages import EPHEMERAL, FILE_LIMIT, LOADING, Before, Upload
from little_discord.shown import shown

_EPOCH = 1420070400000
TOKEN_LIFE, ACKNOWLEDGE_WITHIN, NONCE_WINDOW = 15 * 60.0, 3.0, 5 * 60.0
PERMISSIONS = str((1 << 10) | (1 << 11) | (1 << 14) | (1 << 15) | (1 << 16) | (1 << 31) | (1 << 38))


def user(identifier: int, name: str, *, bot: bool = False) -> dict[str, Any]:
    """A user's JSON."""
    found: dict[str, Any] = {
        "id": str(identifier),
        "username": name,
        "global_name": None,
        "avatar": None,
        "discriminator": "0",
    }
    found |= {"public_flags": 0, "flags": 0, "primary_guild": None}
    return found | ({"bot": True} if bot else {})


@dataclass
class Message:
    """A message as it stands, and how it came about."""

    id: str
    channel_id: str
    author: dict[str, Any]
    created: float
    flags: int = 0
    content: str = ""
    embeds: list[dict[str, Any]] = field(default_factory=list)
    components: list[dict[str, Any]] = field(default_factory=list)
    attachments: list[dict[str, Any]] = field(default_factory=list)
    nonce: str | None = None
    interaction: Interaction | None = None
    mention_everyone: bool = False
    reply_to: str | None = None
    edited: float | None = None
    edits: int = 0
    deleted: bool = False

    @property
    def before(self) -> Before:
        """What an edit of it starts from."""
        return Before(self.flags, self.content, self.embeds, self.components, self.attachments)


@dataclass
class Interaction:
    """One thing that a person did, and what the bot has answered so far."""

    id: str
    token: str
    kind: int
    created: float
    channel_id: str
    user: dict[str, Any]
    payload: dict[str, Any]
    source: Message | None = None
    """The message whose button was pressed."""
    parent: Interaction | None = None
    """The interaction that opened the modal."""
    callback: int | None = None
    """Type of the acknowledgement."""
    acknowledged: float | None = None
    original: Message | None = None
    modal: dict[str, Any] | None = None
    choices: list[dict[str, Any]] | None = None
    callbacks: int = 0
    """Acknowledgements tried."""


class World:
    """The state. ``shift`` moves the server's clock."""

    def __init__(self) -> None:
        self.shift = 0.0
        self._numbers = itertools.count()
        self.application_id = "900000000000000001"
        self.bot = user(int(self.application_id), "calotype", bot=True)
        self.ada, self.bob = user(900000000000000011, "ada"), user(900000000000000012, "bob")
        self.guild_id, self.channel_id = "900000000000000021", "900000000000000022"
        self.quiet_channel_id = "900000000000000023"
        self.commands: list[dict[str, Any]] = []
        self.messages: dict[str, Message] = {}
        self.interactions: dict[str, Interaction] = {}
        self.files: dict[str, bytes] = {}
        """What the CDN serves, by path."""

    def now(self) -> float:
        """The server's time."""
        return time.time() + self.shift

    def snowflake(self) -> str:
        """A new identifier."""
        return str((int(self.now() * 1000 - _EPOCH) << 22) | (next(self._numbers) & 0x3FFFFF))

    def channel(self, identifier: str) -> dict[str, Any]:
        """A text channel. Raises :class:`Refusal`."""
        names = {self.channel_id: "pictures", self.quiet_channel_id: "quiet"}
        if identifier not in names:
            raise Refusal(UNKNOWN_CHANNEL)
        found = {"id": identifier, "type": 0, "guild_id": self.guild_id, "name": names[identifier], "position": 0}
        found |= {"permission_overwrites": [], "nsfw": False, "parent_id": None, "topic": None, "flags": 0}
        return found | {"last_message_id": None, "rate_limit_per_user": 0}

    def message(self, channel_id: str, identifier: str) -> Message:
        """A message that the bot may see through its channel. Raises :class:`Refusal`."""
        found = self.messages.get(identifier)
        if found is None or found.deleted or found.channel_id != channel_id or found.flags & EPHEMERAL:
            raise Refusal(UNKNOWN_MESSAGE)
        return found

    def new_message(self, channel_id: str, *, interaction: Interaction | None = None, flags: int = 0) -> Message:
        """An empty message of the bot's."""
        made = Message(self.snowflake(), channel_id, self.bot, self.now(), flags=flags, interaction=interaction)
        self.messages[made.id] = made
        return made

    def write(self, message: Message, payload: dict[str, Any], uploads: list[Upload], *, edit: bool) -> None:
        """Apply a checked payload."""
        if "content" in payload:
            message.content = payload["content"] or ""
            parse = (payload.get("allowed_mentions") or {"parse": ["everyone"]}).get("parse") or []
            message.mention_everyone = "everyone" in parse and (
                "@everyone" in message.content or "@here" in message.content
            )
        if "embeds" in payload:
            message.embeds = [{"type": "rich", **each} for each in payload["embeds"] or []]
        message.flags = (message.flags & ~LOADING) | ((payload.get("flags") or 0) & ~(EPHEMERAL if edit else 0))
        self._attach(message, payload, uploads)
        if "components" in payload:
            message.components = shown(payload["components"] or [], message.attachments)
        if edit:
            message.edited, message.edits = self.now(), message.edits + 1

    def _attach(self, message: Message, payload: dict[str, Any], uploads: list[Upload]) -> None:
        old = {each["id"]: each for each in message.attachments}
        new = {str(each.index): each for each in uploads}
        listed = payload.get("attachments")
        if listed is None:  # not said: those that are there stay
            listed = [{"id": key} for key in [*old, *new]]
        kept = []
        for each in listed:
            key = str(each["id"])
            kept.append(old[key] if key in old else self._store(message, new[key], each))
        message.attachments = kept

    def _store(self, message: Message, upload: Upload, said: dict[str, Any]) -> dict[str, Any]:
        number, name = self.snowflake(), said.get("filename") or upload.filename
        path = f"/attachments/{message.channel_id}/{number}/{name}"
        self.files[path] = upload.data
        made = {"id": number, "filename": name, "size": len(upload.data), "content_type": "image/png"}
        made |= {"url": f"https://cdn.discordapp.com{path}", "proxy_url": f"https://media.discordapp.net{path}"}
        return made | ({"description": said["description"]} if said.get("description") else {})

    def message_json(self, message: Message) -> dict[str, Any]:
        """A message as Discord answers it."""
        found: dict[str, Any] = {"id": message.id, "channel_id": message.channel_id, "author": message.author}
        found |= {"type": 0, "content": message.content, "embeds": message.embeds, "components": message.components}
        found |= {"attachments": message.attachments, "flags": message.flags, "mentions": [], "mention_roles": []}
        found |= {"timestamp": stamp(message.created), "pinned": False, "tts": False}
        found["edited_timestamp"] = stamp(message.edited) if message.edited else None
        found["mention_everyone"] = message.mention_everyone
        if message.nonce is not None:
            found["nonce"] = message.nonce
        if message.interaction is not None:
            found |= {"application_id": self.application_id, "webhook_id": self.application_id}
            found["interaction_metadata"] = self._metadata(message.interaction)
            if message.interaction.kind == 2:
                found["type"] = 20
        return found

    def _metadata(self, interaction: Interaction) -> dict[str, Any]:
        found: dict[str, Any] = {"id": interaction.id, "type": interaction.kind, "user": interaction.user}
        found["authorizing_integration_owners"] = {"0": self.guild_id}
        if interaction.kind == 3 and interaction.source:
            found["interacted_message_id"] = interaction.source.id
        if interaction.kind == 5 and interaction.parent:
            found["triggering_interaction_metadata"] = self._metadata(interaction.parent)
        return found

    def new_interaction(self, kind: int, data: dict[str, Any], who: dict[str, Any], channel_id: str) -> Interaction:
        """Something a person does, with the JSON that the gateway sends for it."""
        made = Interaction(self.snowflake(), secrets.token_urlsafe(48), kind, self.now(), channel_id, who, {})
        member: dict[str, Any] = {
            "user": who,
            "roles": [],
            "joined_at": stamp(self.now() - 1e6),
            "permissions": PERMISSIONS,
        }
        member |= {"deaf": False, "mute": False, "flags": 0, "nick": None, "avatar": None, "pending": False}
        made.payload = {"id": made.id, "application_id": self.application_id, "type": kind, "token": made.token}
        made.payload |= {"version": 1, "data": data, "guild_id": self.guild_id, "channel_id": channel_id}
        made.payload |= {"channel": self.channel(channel_id) | {"permissions": PERMISSIONS}, "member": member}
        made.payload |= {"guild": {"id": self.guild_id, "locale": "en-US", "features": []}, "locale": "en-US"}
        made.payload |= {"guild_locale": "en-US", "app_permissions": PERMISSIONS, "entitlements": [], "context": 0}
        made.payload["authorizing_integration_owners"] = {"0": self.guild_id}
        made.payload["attachment_size_limit"] = FILE_LIMIT
        self.interactions[made.token] = made
        return made


def stamp(seconds: float) -> str:
    """ISO 8601, as Discord writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()
