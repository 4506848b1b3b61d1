"""``film_grain.strength=0.3 upscale=off``: plugin parameters in one line, read and proposed."""

from __future__ import annotations

import json
import re
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from calotype.errors import BadRequest
from calotype.request import Options
from calotype.studio import Studio

LIMIT: Final = 1000
"""Characters of the whole line."""
VALUE_LIMIT: Final = 100
"""Characters of a proposal, its value as well as its words: Discord's."""
PROPOSALS: Final = 25
_SCALAR: Final = re.compile(r"true|false|null|-?\d{1,30}(\.\d{1,30})?([eE][+-]?\d{1,3})?")
_SWITCH: Final = {"on": True, "true": True, "off": False, "false": False}
Proposal = tuple[str, str]
"""What is shown, and what the line becomes."""


def read(line: str) -> Options:
    """``PLUGIN.PARAM=VALUE`` and ``PLUGIN=on|off``, separated by spaces. Raises :class:`BadRequest`.

    Whether there are such plugins and parameters is the catalog's business.
    """
    found: Options = {}
    for word in line.split():
        left, equals, value = word.partition("=")
        plugin, dot, parameter = left.partition(".")
        if not equals or not plugin or (dot and not parameter) or (not dot and value.lower() not in _SWITCH):
            shown = word if len(word) <= 60 else f"{word[:60]}…"
            raise BadRequest.of("options", f"{shown!r} is neither plugin.parameter=value nor plugin=on or plugin=off")
        before = found.get(plugin)
        given = before if isinstance(before, dict) else {}
        if dot:
            found[plugin] = {**given, parameter: _value(value)}
        else:
            found[plugin] = given if _SWITCH[value.lower()] and given else _SWITCH[value.lower()]
    return found


def _value(text: str) -> Any:
    return json.loads(text) if _SCALAR.fullmatch(text) else text


def propose(line: str, studio: Studio) -> list[Proposal]:
    """Ways to go on with the line; what was typed before its last word stays."""
    before, _, word = line.rpartition(" ")
    before = f"{before} " if before else ""
    made = []
    for shown, becomes in _words(word, studio):
        if len(before + becomes) <= VALUE_LIMIT:
            made.append((_fitted(f"{before}{shown}"), before + becomes))
    return made[:PROPOSALS]


def _fitted(shown: str) -> str:
    """The end is what tells the proposals apart."""
    return shown if len(shown) <= VALUE_LIMIT else f"…{shown[1 - VALUE_LIMIT :]}"


def _words(word: str, studio: Studio) -> list[Proposal]:
    registry = studio.catalog.registry
    plugin, dot, rest = word.partition(".")
    name, equals, typed = rest.partition("=")
    if not dot:
        return _plugins(word.partition("=")[0], studio)
    kind = registry.params_of(plugin)
    if kind is None:
        return []
    if equals and name in kind.model_fields:
        return _values(plugin, name, kind, typed)
    return [
        (f"{plugin}.{each} — {_says(field)}", f"{plugin}.{each}={_default(field)}")
        for each, field in kind.model_fields.items()
        if each.startswith(name)
    ]


def _plugins(start: str, studio: Studio) -> list[Proposal]:
    registry = studio.catalog.registry
    made: list[Proposal] = []
    for name, postprocessor in registry.postprocessors.items():
        if name.startswith(start):
            made += [
                (f"{name}=on — {postprocessor.label}", f"{name}=on"),
                (f"{name}=off — leave it out", f"{name}=off"),
            ]
    for name in (*registry.postprocessors, *registry.samplers, *registry.schedules):
        kind = registry.params_of(name)
        if name.startswith(start) and kind is not None and kind.model_fields:
            made.append((f"{name}. … {', '.join(kind.model_fields)}", f"{name}."))
    return made


def _values(plugin: str, name: str, kind: type[BaseModel], typed: str) -> list[Proposal]:
    """What was typed comes first, then the ends of the range."""
    field = kind.model_fields[name]
    ends = get_args(field.annotation) if get_origin(field.annotation) is Literal else limits(field)
    values = dict.fromkeys([typed, _default(field), *(f"{end:g}" for end in ends if isinstance(end, int | float))])
    return [
        (f"{plugin}.{name}={value} — {_says(field)}", f"{plugin}.{name}={value}") for value in values if value != ""
    ]


def limits(field: FieldInfo) -> tuple[float | None, float | None]:
    """Least and greatest value of a parameter, None where there is no such limit."""
    least = next((getattr(each, "ge", None) for each in field.metadata if getattr(each, "ge", None) is not None), None)
    most = next((getattr(each, "le", None) for each in field.metadata if getattr(each, "le", None) is not None), None)
    return least, most


def _says(field: FieldInfo) -> str:
    least, most = limits(field)
    reach = f"{least:g} … {most:g}" if least is not None and most is not None else ""
    if get_origin(field.annotation) is Literal:
        reach = " or ".join(str(each) for each in get_args(field.annotation))
    return ", ".join(part for part in (reach, field.description or "") if part) or "a parameter"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    return value if isinstance(value, str) else json.dumps(value)
