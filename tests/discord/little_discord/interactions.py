"""The life of an interaction: three seconds to answer once, fifteen minutes to go on."""

from __future__ import annotations

from typing import Any

from little_discord.refusal import (
    ACKNOWLEDGED,
    INVALID_TOKEN,
    UNKNOWN_INTERACTION,
    UNKNOWN_MESSAGE,
    UNKNOWN_WEBHOOK,
    Refusal,
    refuse_form,
)
from little_discord.rules_commands import check_choices, unknown
from little_discord.rules_components import check_modal
from little_discord.rules_messages import EPHEMERAL, LOADING, Upload, check_message
from little_discord.world import ACKNOWLEDGE_WITHIN, TOKEN_LIFE, Interaction, Message, World

COMMAND, COMPONENT, AUTOCOMPLETE, MODAL = 2, 3, 4, 5
MESSAGE, DEFER, DEFER_UPDATE, UPDATE, CHOICES, OPEN_MODAL = 4, 5, 6, 7, 8, 9
_ALLOWED = {
    COMMAND: {MESSAGE, DEFER, OPEN_MODAL},
    COMPONENT: {MESSAGE, DEFER, DEFER_UPDATE, UPDATE, OPEN_MODAL},
    AUTOCOMPLETE: {CHOICES},
    MODAL: {MESSAGE, DEFER, DEFER_UPDATE, UPDATE},
}


def acknowledge(
    world: World, identifier: str, token: str, body: dict[str, Any], uploads: list[Upload]
) -> dict[str, Any]:
    """The answer to an interaction. Returns the JSON for ``with_response``; raises :class:`Refusal`."""
    interaction = world.interactions.get(token)
    if interaction is None or interaction.id != identifier:
        raise Refusal(UNKNOWN_INTERACTION)
    interaction.callbacks += 1
    if interaction.acknowledged is not None:
        raise Refusal(ACKNOWLEDGED)
    if world.now() - interaction.created > ACKNOWLEDGE_WITHIN:
        raise Refusal(UNKNOWN_INTERACTION)
    kind, data = int(body.get("type") or 0), body.get("data") or {}
    refuse_form(unknown(body, frozenset({"type", "data"}), "callback"))
    if kind not in _ALLOWED[interaction.kind] or (kind in (DEFER_UPDATE, UPDATE) and source(interaction) is None):
        refuse_form([f"type: {kind} is no answer to an interaction of type {interaction.kind}"])
    message = _carry_out(world, interaction, kind, data, uploads)
    interaction.acknowledged, interaction.callback = world.now(), kind
    about: dict[str, Any] = {"id": interaction.id, "type": interaction.kind}
    if message is None:
        return {"interaction": about}
    interaction.original = message
    about |= {"response_message_id": message.id, "response_message_loading": bool(message.flags & LOADING)}
    about["response_message_ephemeral"] = bool(message.flags & EPHEMERAL)
    resource: dict[str, Any] = {"type": kind}
    if kind in (MESSAGE, UPDATE):
        resource["message"] = world.message_json(message)
    return {"interaction": about, "resource": resource} if kind in (MESSAGE, UPDATE) else {"interaction": about}


def _carry_out(
    world: World, interaction: Interaction, kind: int, data: dict[str, Any], uploads: list[Upload]
) -> Message | None:
    match kind:
        case 4:
            check_message(data, uploads, "callback")
            made = world.new_message(interaction.channel_id, interaction=interaction)
            world.write(made, data, uploads, edit=False)
            return made
        case 5:
            refuse_form(unknown(data, frozenset({"flags", "tts"}), "data"))
            flags = LOADING | (data.get("flags", 0) & EPHEMERAL)
            return world.new_message(interaction.channel_id, interaction=interaction, flags=flags)
        case 6:
            return source(interaction)
        case 7:
            shown = source(interaction)
            assert shown is not None
            check_message(data, uploads, "webhook edit", before=shown.before)
            world.write(shown, data, uploads, edit=True)
            return shown
        case 8:
            choices = data.get("choices") or []
            refuse_form(check_choices(choices, _focused(interaction.payload["data"]), "data"))
            interaction.choices = choices
        case 9:
            check_modal(data)
            interaction.modal = data
    return None


def source(interaction: Interaction) -> Message | None:
    """The message that an interaction came from."""
    if interaction.source is not None and not interaction.source.deleted:
        return interaction.source
    return None


def _focused(data: dict[str, Any]) -> int | None:
    for option in data.get("options") or []:
        if option.get("focused"):
            return int(option["type"])
        if (found := _focused(option)) is not None:
            return found
    return None


def by_token(world: World, application_id: str, token: str) -> Interaction:
    """The interaction whose webhook this is, if it may be used. Raises :class:`Refusal`."""
    interaction = world.interactions.get(token)
    if application_id != world.application_id:
        raise Refusal(UNKNOWN_WEBHOOK)
    if interaction is None or world.now() - interaction.created > TOKEN_LIFE:
        raise Refusal(INVALID_TOKEN)
    if interaction.acknowledged is None:
        raise Refusal(UNKNOWN_WEBHOOK)
    return interaction


def of_webhook(world: World, interaction: Interaction, identifier: str) -> Message:
    """``@original``, or a follow-up of this interaction. Raises :class:`Refusal`."""
    if identifier == "@original":
        found = interaction.original
    else:
        found = world.messages.get(identifier)
        if found is not None and found.interaction is not interaction and found is not interaction.original:
            found = None
    if found is None or found.deleted:
        raise Refusal(UNKNOWN_MESSAGE)
    return found


def edit(
    world: World, interaction: Interaction, identifier: str, payload: dict[str, Any], uploads: list[Upload]
) -> Message:
    """PATCH of a webhook message. Raises :class:`Refusal`."""
    message = of_webhook(world, interaction, identifier)
    check_message(payload, uploads, "webhook edit", before=message.before)
    world.write(message, payload, uploads, edit=True)
    return message


def follow_up(world: World, interaction: Interaction, payload: dict[str, Any], uploads: list[Upload]) -> Message:
    """POST to the webhook. The first one after a deferral takes the waiting message's place. Raises Refusal."""
    check_message(payload, uploads, "webhook")
    waiting = interaction.original
    if waiting is not None and waiting.flags & LOADING and not waiting.deleted:
        world.write(waiting, payload, uploads, edit=True)
        return waiting
    made = world.new_message(interaction.channel_id, interaction=interaction)
    world.write(made, payload, uploads, edit=False)
    return made
