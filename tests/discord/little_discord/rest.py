"""The routes of the HTTP API that a bot uses, by the templates of Discord's own description."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from little_discord import interactions
from little_discord.exchange import Exchange
from little_discord.refusal import (
    NOT_THE_AUTHOR,
    UNAUTHORIZED,
    UNKNOWN_CHANNEL,
    Refusal,
    refuse_form,
)
from little_discord.rules_commands import check_commands
from little_discord.rules_messages import check_message
from little_discord.world import NONCE_WINDOW, Message, World, user

TOKEN = "small.discord.token"
Answer = tuple[int, Any]


@dataclass(frozen=True)
class Call:
    """A request on its way to a route."""

    world: World
    exchange: Exchange
    params: Mapping[str, str]

    @property
    def payload(self) -> dict[str, Any]:
        """The body, an object. Raises :class:`Refusal`."""
        if not isinstance(self.exchange.payload, dict):
            refuse_form(["body: not an object"])
        found: dict[str, Any] = self.exchange.payload
        return found


Route = Callable[[Call], Answer]


def check_authorization(headers: Mapping[str, str], template: str) -> None:
    """Everything but an interaction's own routes wants the bot's token and a proper User-Agent."""
    if template.startswith("/interactions/") or template.startswith("/webhooks/"):
        return
    if headers.get("Authorization") != f"Bot {TOKEN}" or not headers.get("User-Agent", "").startswith("DiscordBot ("):
        raise Refusal(UNAUTHORIZED)


def _me(call: Call) -> Answer:
    return 200, call.world.bot | {"mfa_enabled": False, "locale": "en-US", "verified": True, "email": None}


def _application(call: Call) -> Answer:
    owner = user(900000000000000099, "owner")
    found: dict[str, Any] = {"id": call.world.application_id, "name": "Calotype", "icon": None, "description": ""}
    found |= {"type": None, "verify_key": "0" * 64, "flags": 0, "flags_new": "0", "redirect_uris": [], "summary": ""}
    found |= {"interactions_endpoint_url": None, "role_connections_verification_url": None, "owner": owner}
    found |= {"approximate_guild_count": 1, "approximate_user_install_count": 0, "team": None, "bot_public": True}
    found |= {"approximate_user_authorization_count": 0, "explicit_content_filter": 0, "eligible_oauth2_scopes": []}
    return 200, found | {"bot_require_code_grant": False}


def _gateway(call: Call) -> Answer:
    limit = {"total": 1000, "remaining": 1000, "reset_after": 0, "max_concurrency": 1}
    return 200, {"url": "wss://gateway.discord.gg", "shards": 1, "session_start_limit": limit}


def _own(call: Call) -> None:
    if call.params["application_id"] != call.world.application_id:
        raise Refusal((403, 20012, "You are not authorized to perform this action on this application"))


def _commands(call: Call) -> Answer:
    _own(call)
    return 200, call.world.commands


def _set_commands(call: Call) -> Answer:
    _own(call)
    wanted = call.exchange.payload or []
    check_commands(wanted)
    world = call.world
    old = {(each["type"], each["name"]): each for each in world.commands}
    world.commands = []
    for each in wanted:
        kind = each.get("type", 1)
        identifier = old[kind, each["name"]]["id"] if (kind, each["name"]) in old else world.snowflake()
        made = {"default_member_permissions": None, "description": "", "dm_permission": True, "nsfw": False, **each}
        made |= {"id": identifier, "application_id": world.application_id, "version": world.snowflake(), "type": kind}
        if made["default_member_permissions"] is not None:  # taken as a number too, given out as text
            made["default_member_permissions"] = str(made["default_member_permissions"])
        world.commands.append(made)
    return 200, world.commands


def _callback(call: Call) -> Answer:
    answer = interactions.acknowledge(
        call.world, call.params["interaction_id"], call.params["interaction_token"], call.payload, call.exchange.uploads
    )
    wanted = call.exchange.query.get("with_response", "").lower() in ("1", "true")
    return (200, answer) if wanted else (204, None)


def _webhook(call: Call) -> interactions.Interaction:
    return interactions.by_token(call.world, call.params["webhook_id"], call.params["webhook_token"])


def _follow_up(call: Call) -> Answer:
    message = interactions.follow_up(call.world, _webhook(call), call.payload, call.exchange.uploads)
    # Only ``wait`` makes a webhook answer with the message; for an interaction's it is always on.
    return 200, call.world.message_json(message)


def _webhook_get(call: Call) -> Answer:
    message = interactions.of_webhook(call.world, _webhook(call), call.params.get("message_id", "@original"))
    return 200, call.world.message_json(message)


def _webhook_edit(call: Call) -> Answer:
    name = call.params.get("message_id", "@original")
    message = interactions.edit(call.world, _webhook(call), name, call.payload, call.exchange.uploads)
    return 200, call.world.message_json(message)


def _webhook_delete(call: Call) -> Answer:
    message = interactions.of_webhook(call.world, _webhook(call), call.params.get("message_id", "@original"))
    message.deleted = True
    return 204, None


def _channel(call: Call) -> Answer:
    return 200, call.world.channel(call.params["channel_id"])


def _send(call: Call) -> Answer:
    world, payload = call.world, call.payload
    channel = world.channel(call.params["channel_id"])["id"]
    check_message(payload, call.exchange.uploads, "channel")
    nonce = None if payload.get("nonce") is None else str(payload["nonce"])
    known = _known(world, channel, nonce) if nonce is not None and payload.get("enforce_nonce") else None
    if known is not None:
        return 200, world.message_json(known)
    reply_to = _reference(world, channel, payload.get("message_reference") or {})
    made = world.new_message(channel)
    made.nonce, made.reply_to = nonce, reply_to
    world.write(made, payload, call.exchange.uploads, edit=False)
    return 200, world.message_json(made)


def _known(world: World, channel: str, nonce: str) -> Message | None:
    """What was sent with this nonce, as long as Discord remembers it."""
    for each in world.messages.values():
        same = (each.nonce, each.channel_id, each.deleted) == (nonce, channel, False)
        if same and world.now() - each.created <= NONCE_WINDOW:
            return each
    return None


def _reference(world: World, channel: str, reference: Mapping[str, Any]) -> str | None:
    if not reference:
        return None
    try:
        if reference.get("channel_id", channel) != channel:
            raise Refusal(UNKNOWN_CHANNEL)
        return world.message(channel, str(reference["message_id"])).id
    except Refusal:
        if reference.get("fail_if_not_exists", True):
            refuse_form(["message_reference: Unknown message"])
        return None


def _message(call: Call) -> Answer:
    return 200, call.world.message_json(call.world.message(call.params["channel_id"], call.params["message_id"]))


def _message_edit(call: Call) -> Answer:
    message = call.world.message(call.params["channel_id"], call.params["message_id"])
    if message.author["id"] != call.world.bot["id"]:
        raise Refusal(NOT_THE_AUTHOR)
    check_message(call.payload, call.exchange.uploads, "channel edit", before=message.before)
    call.world.write(message, call.payload, call.exchange.uploads, edit=True)
    return 200, call.world.message_json(message)


def _message_delete(call: Call) -> Answer:
    call.world.message(call.params["channel_id"], call.params["message_id"]).deleted = True
    return 204, None


_ORIGINAL = "/webhooks/{webhook_id}/{webhook_token}/messages/@original"
_FOLLOWED = "/webhooks/{webhook_id}/{webhook_token}/messages/{message_id}"
_IN_CHANNEL = "/channels/{channel_id}/messages/{message_id}"
ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "/users/@me"): _me,
    ("GET", "/applications/@me"): _application,
    ("GET", "/oauth2/applications/@me"): _application,
    ("GET", "/gateway/bot"): _gateway,
    ("GET", "/applications/{application_id}/commands"): _commands,
    ("PUT", "/applications/{application_id}/commands"): _set_commands,
    ("POST", "/interactions/{interaction_id}/{interaction_token}/callback"): _callback,
    ("POST", "/webhooks/{webhook_id}/{webhook_token}"): _follow_up,
    ("GET", _ORIGINAL): _webhook_get,
    ("PATCH", _ORIGINAL): _webhook_edit,
    ("DELETE", _ORIGINAL): _webhook_delete,
    ("GET", _FOLLOWED): _webhook_get,
    ("PATCH", _FOLLOWED): _webhook_edit,
    ("DELETE", _FOLLOWED): _webhook_delete,
    ("GET", "/channels/{channel_id}"): _channel,
    ("POST", "/channels/{channel_id}/messages"): _send,
    ("GET", _IN_CHANNEL): _message,
    ("PATCH", _IN_CHANNEL): _message_edit,
    ("DELETE", _IN_CHANNEL): _message_delete,
}
