"""What a set of application commands, and the answer to an autocomplete, may not be."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from little_discord.refusal import refuse_form

CHAT_INPUT, USER, MESSAGE = 1, 2, 3
SUB_COMMAND, GROUP = 1, 2
STRING, INTEGER, NUMBER = 3, 4, 10
_NAME = re.compile(r"[-_'\w]{1,32}")
_AT_MOST = {CHAT_INPUT: 100, USER: 15, MESSAGE: 15}
# ``nsfw`` is documented, and missing from the published description.
_COMMAND_KEYS = frozenset(
    [
        "id",
        "type",
        "name",
        "name_localizations",
        "description",
        "description_localizations",
        "options",
        "default_member_permissions",
        "dm_permission",
        "contexts",
        "integration_types",
        "handler",
        "nsfw",
    ]
)
_OPTION_KEYS = frozenset(
    [
        "type",
        "name",
        "name_localizations",
        "description",
        "description_localizations",
        "required",
        "autocomplete",
        "choices",
        "options",
        "channel_types",
        "min_value",
        "max_value",
        "min_length",
        "max_length",
    ]
)
_CHOICE_KEYS = frozenset({"name", "name_localizations", "value"})


def unknown(value: Mapping[str, Any], keys: frozenset[str], where: str) -> list[str]:
    """One line for each key that the interface does not know."""
    return [f"{where}.{key}: unknown key" for key in value if key not in keys]


def text(value: Any, low: int, high: int, where: str) -> list[str]:
    """A string of ``low`` … ``high`` characters."""
    if not isinstance(value, str):
        return [f"{where}: not a string"]
    return [] if low <= len(value) <= high else [f"{where}: {len(value)} characters, must be {low} to {high}"]


def check_commands(commands: Sequence[Mapping[str, Any]]) -> None:
    """A bulk overwrite. Raises :class:`Refusal` with everything that is wrong with it."""
    found: list[str] = []
    seen: set[tuple[int, str]] = set()
    for kind, limit in _AT_MOST.items():
        if sum(each.get("type", CHAT_INPUT) == kind for each in commands) > limit:
            found.append(f"more than {limit} commands of type {kind}")
    for number, command in enumerate(commands):
        key = (command.get("type", CHAT_INPUT), str(command.get("name")))
        if key in seen:
            found.append(f"{number}.name: two commands are named {key[1]!r}")
        seen.add(key)
        found += _command(command, str(number))
    refuse_form(found)


def _command(command: Mapping[str, Any], where: str) -> list[str]:
    found = unknown(command, _COMMAND_KEYS, where)
    if command.get("type", CHAT_INPUT) != CHAT_INPUT:
        found += text(command.get("name"), 1, 32, f"{where}.name")
        if command.get("description"):
            found.append(f"{where}.description: only for chat input")
        return found
    found += _named(command, where)
    found += _options(command.get("options") or [], where)
    if (size := _size(command)) > 8000:
        found.append(f"{where}: {size} characters in all, must be at most 8000")
    return found


def _named(value: Mapping[str, Any], where: str) -> list[str]:
    name = value.get("name")
    found = text(value.get("description"), 1, 100, f"{where}.description")
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name != name.lower():
        found.append(f"{where}.name: {name!r} is not 1 to 32 letters in lower case")
    return found


def _options(options: Sequence[Mapping[str, Any]], where: str) -> list[str]:
    found = [f"{where}.options: more than 25"] if len(options) > 25 else []
    names = [each.get("name") for each in options]
    if len(set(names)) != len(names):
        found.append(f"{where}.options: two of one name")
    optional = False
    for number, option in enumerate(options):
        here = f"{where}.options.{number}"
        if option.get("required"):
            if optional:
                found.append(f"{here}.required: required options come before optional ones")
        elif option.get("type") not in (SUB_COMMAND, GROUP):
            optional = True
        found += unknown(option, _OPTION_KEYS, here) + _named(option, here)
        found += _choices(option, here) + _bounds(option, here)
        found += _options(option.get("options") or [], here)
    return found


def _choices(option: Mapping[str, Any], where: str) -> list[str]:
    choices = option.get("choices") or []
    found = [f"{where}.autocomplete: not beside choices"] if choices and option.get("autocomplete") else []
    if option.get("autocomplete") and option.get("type") not in (STRING, INTEGER, NUMBER):
        found.append(f"{where}.autocomplete: not for this type")
    return found + check_choices(choices, option.get("type"), where)


def check_choices(choices: Sequence[Mapping[str, Any]], kind: int | None, where: str) -> list[str]:
    """Choices of an option, declared or answered to an autocomplete."""
    found = [f"{where}.choices: {len(choices)}, must be at most 25"] if len(choices) > 25 else []
    for number, choice in enumerate(choices):
        here = f"{where}.choices.{number}"
        found += unknown(choice, _CHOICE_KEYS, here) + text(choice.get("name"), 1, 100, f"{here}.name")
        value = choice.get("value")
        if kind in (INTEGER, NUMBER):
            if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > 2**53:
                found.append(f"{here}.value: not a number from -2**53 to 2**53")
        else:
            found += text(value, 1, 100, f"{here}.value")
    return found


def _bounds(option: Mapping[str, Any], where: str) -> list[str]:
    found = []
    for low, high, kinds in (("min_value", "max_value", (INTEGER, NUMBER)), ("min_length", "max_length", (STRING,))):
        for key in (low, high):
            if option.get(key) is not None and option.get("type") not in kinds:
                found.append(f"{where}.{key}: not for this type")
        if option.get(low) is not None and option.get(high) is not None and option[low] > option[high]:
            found.append(f"{where}.{low}: above {high}")
    for key, limits in (("min_length", (0, 6000)), ("max_length", (1, 6000))):
        if option.get(key) is not None and not limits[0] <= option[key] <= limits[1]:
            found.append(f"{where}.{key}: must be {limits[0]} to {limits[1]}")
    for key in ("min_value", "max_value"):
        if option.get(key) is not None and abs(option[key]) > 2**53:
            found.append(f"{where}.{key}: must be -2**53 to 2**53")
    return found


def _size(value: Mapping[str, Any]) -> int:
    """Characters that count towards 8,000: names, descriptions and values, of the longest translation each."""
    total = 0
    for key in ("name", "description"):
        translated = (value.get(f"{key}_localizations") or {}).values()
        total += max(len(each) for each in [str(value.get(key, "")), *translated])
    total += sum(
        len(str(each.get("name", ""))) + len(str(each.get("value", ""))) for each in value.get("choices") or []
    )
    return total + sum(_size(each) for each in value.get("options") or [])
