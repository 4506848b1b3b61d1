"""Somebody in front of a Discord client: commands, buttons, forms, and only what a client would let them do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from little_discord.rules_components import BUTTON, LABEL, ROW, TEXT_INPUT, walk
from little_discord.waiting import until
from little_discord.world import Interaction, Message

if TYPE_CHECKING:
    from little_discord.server import Server

_SUBCOMMAND, _STRING, _INTEGER, _BOOLEAN, _NUMBER = 1, 3, 4, 5, 10


class Person:
    """Acts in one channel. Every act goes out as an interaction through the gateway."""

    def __init__(self, server: Server, who: dict[str, Any], channel_id: str) -> None:
        self._server = server
        self.who = who
        self.channel_id = channel_id

    def command(self, name: str, **options: Any) -> Interaction:
        """A slash command, with the options that it was registered with."""
        return self._command(2, name, options, None)

    def complete(self, name: str, focused: str, typed: str, **options: Any) -> Interaction:
        """What the client asks while somebody types."""
        return self._command(4, name, options | {focused: typed}, focused)

    def press(self, message: Message, label: str) -> Interaction:
        """A button, by what is written on it."""
        for each in walk(message.components):
            if each.get("type") == BUTTON and label.lower() in _written(each).lower():
                if each.get("disabled"):
                    raise AssertionError(f"the button {label!r} is disabled")
                return self.press_custom(message, each["custom_id"])
        raise AssertionError(f"no button {label!r} among {buttons(message)}")

    def press_custom(self, message: Message, custom_id: str) -> Interaction:
        """A button, by its identifier."""
        data = {"component_type": BUTTON, "custom_id": custom_id, "id": 1}
        made = self._server.world.new_interaction(3, data, self.who, message.channel_id)
        made.source = message
        made.payload["message"] = self._server.world.message_json(message)
        return self._do(made)

    def submit(self, opened: Interaction, **values: str) -> Interaction:
        """The modal that answered ``opened``; fields by custom_id, others as they were filled in."""
        assert opened.modal is not None, "no modal was opened"
        rows = [_filled(each, values) for each in opened.modal["components"]]
        data = {"custom_id": opened.modal["custom_id"], "components": [each for each in rows if each is not None]}
        assert not values, f"the modal has no field {sorted(values)}"
        made = self._server.world.new_interaction(5, data, self.who, self.channel_id)
        made.parent, made.source = opened, opened.source
        if opened.source is not None:
            made.payload["message"] = self._server.world.message_json(opened.source)
        return self._do(made)

    def again(self, interaction: Interaction) -> None:
        """The gateway delivers the same interaction a second time."""
        self._server.wait(self._server.gateway.dispatch("INTERACTION_CREATE", interaction.payload))

    def _command(self, kind: int, name: str, options: dict[str, Any], focused: str | None) -> Interaction:
        found = next((each for each in self._server.world.commands if each["name"] == name), None)
        assert found is not None, f"no command {name!r} is registered"
        data = {"id": found["id"], "name": name, "type": 1, "options": _options(found, options, focused)}
        return self._do(self._server.world.new_interaction(kind, data, self.who, self.channel_id))

    def _do(self, interaction: Interaction) -> Interaction:
        self._server.wait(self._server.gateway.dispatch("INTERACTION_CREATE", interaction.payload))
        return interaction


def _options(command: dict[str, Any], given: dict[str, Any], focused: str | None) -> list[dict[str, Any]]:
    known = {each["name"]: each for each in command.get("options") or []}
    if focused is None:
        missing = [name for name, each in known.items() if each.get("required") and name not in given]
        assert not missing, f"a client does not send /{command['name']} without {missing}"
    found = []
    for name, value in given.items():
        assert name in known, f"/{command['name']} has no option {name!r}, only {sorted(known)}"
        option = known[name]
        made = {"name": name, "type": option["type"], "value": value}
        if name == focused:
            made["focused"] = True
        else:
            _check_value(option, value)
        found.append(made)
    return found


def _check_value(option: dict[str, Any], value: Any) -> None:
    kinds: dict[int, type | tuple[type, ...]] = {_STRING: str, _INTEGER: int, _BOOLEAN: bool, _NUMBER: (int, float)}
    assert isinstance(value, kinds[option["type"]]), f"{option['name']}={value!r} is not of type {option['type']}"
    if choices := option.get("choices"):
        assert value in [each["value"] for each in choices], f"{option['name']}={value!r} is not one of the choices"
    size = len(value) if isinstance(value, str) else value
    low, high = ("min_length", "max_length") if isinstance(value, str) else ("min_value", "max_value")
    if option.get(low) is not None:
        assert size >= option[low], f"{option['name']}: below {option[low]}"
    if option.get(high) is not None:
        assert size <= option[high], f"{option['name']}: above {option[high]}"


def _filled(component: dict[str, Any], values: dict[str, str]) -> dict[str, Any] | None:
    """A row or label of a modal as a client sends it back; None for what is only read."""
    if component["type"] == ROW:
        return {"type": ROW, "id": 1, "components": [_field(each, values) for each in component["components"]]}
    if component["type"] == LABEL:
        return {"type": LABEL, "id": 1, "component": _field(component["component"], values)}
    return None


def _field(component: dict[str, Any], values: dict[str, str]) -> dict[str, Any]:
    name = component["custom_id"]
    made = {"type": component["type"], "id": 2, "custom_id": name}
    if component["type"] != TEXT_INPUT:
        return made | {"values": [values.pop(name)] if name in values else []}
    value = values.pop(name, component.get("value") or "")
    assert value or not component.get("required", True), f"the field {name} is required"
    assert len(value) <= component.get("max_length", 4000), f"the field {name} takes fewer characters"
    return made | {"value": value}


def _written(button: Mapping[str, Any]) -> str:
    return f"{button.get('label') or ''} {(button.get('emoji') or {}).get('name') or ''}"


def buttons(message: Message) -> list[str]:
    """What is written on a message's buttons."""
    return [_written(each).strip() for each in walk(message.components) if each.get("type") == BUTTON]


def answered(interaction: Interaction) -> Message:
    """Wait for the acknowledgement; the message it made or will change."""
    until(lambda: interaction.acknowledged is not None, f"an answer to interaction {interaction.id}", 10)
    assert interaction.original is not None
    return interaction.original
