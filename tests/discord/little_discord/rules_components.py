"""What the components of a message or a modal may not be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from little_discord.refusal import refuse_form
from little_discord.rules_commands import text, unknown

ROW, BUTTON, STRING_SELECT, TEXT_INPUT = 1, 2, 3, 4
SELECTS = frozenset({3, 5, 6, 7, 8})
SECTION, TEXT_DISPLAY, THUMBNAIL, GALLERY, FILE, SEPARATOR, CONTAINER, LABEL = 9, 10, 11, 12, 13, 14, 17, 18
_V2_TOP = frozenset({ROW, SECTION, TEXT_DISPLAY, GALLERY, FILE, SEPARATOR, CONTAINER})
_LINK, _PREMIUM = 5, 6
_KEYS: dict[int, frozenset[str]] = {
    kind: frozenset(["type", "id", *keys.split()])
    for kind, keys in {
        ROW: "components",
        BUTTON: "custom_id style label disabled url sku_id emoji",
        STRING_SELECT: "custom_id placeholder min_values max_values disabled required options",
        TEXT_INPUT: "custom_id style label value placeholder required min_length max_length",
        5: "custom_id placeholder min_values max_values disabled required default_values",
        6: "custom_id placeholder min_values max_values disabled required default_values",
        7: "custom_id placeholder min_values max_values disabled required default_values",
        8: "custom_id placeholder min_values max_values disabled required default_values channel_types",
        SECTION: "components accessory",
        TEXT_DISPLAY: "content",
        THUMBNAIL: "description spoiler media",
        GALLERY: "items",
        FILE: "spoiler file",
        SEPARATOR: "spacing divider",
        CONTAINER: "accent_color components spoiler",
        LABEL: "label description component",
    }.items()
}


def walk(components: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Every component, at any depth."""
    for each in components:
        yield each
        yield from walk(each.get("components") or [])
        for key in ("accessory", "component"):
            if each.get(key):
                yield from walk([each[key]])


def component_problems(components: Sequence[Mapping[str, Any]], *, v2: bool) -> list[str]:
    """What is wrong with the components of a message."""
    found = _identifiers(components)
    every = list(walk(components))
    for number, each in enumerate(components):
        kind = each.get("type")
        if v2 and kind not in _V2_TOP:
            found.append(f"components.{number}.type: {kind} is not for the top of a message")
        if not v2 and kind != ROW:
            found.append(f"components.{number}.type: {kind} needs the flag IS_COMPONENTS_V2")
    if v2 and len(every) > 40:
        found.append(f"components: {len(every)} in all, must be at most 40")
    if not v2 and len(components) > 5:
        found.append(f"components: {len(components)} rows, must be at most 5")
    if v2 and sum(len(each.get("content") or "") for each in every if each.get("type") == TEXT_DISPLAY) > 4000:
        found.append("components: more than 4000 characters of text")
    for each in every:
        found += _component(each)
    return found


def media(components: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Addresses of pictures and files that components show."""
    for each in walk(components):
        items = [*(each.get("items") or []), each] if each.get("type") == GALLERY else [each]
        for item in items:
            for key in ("media", "file"):
                if isinstance(item.get(key), Mapping):
                    yield str(item[key].get("url"))


def _identifiers(components: Sequence[Mapping[str, Any]]) -> list[str]:
    found, seen = [], set()
    for each in walk(components):
        name = each.get("custom_id")
        if name is None:
            continue
        found += text(name, 1, 100, "components.custom_id")
        if name in seen:
            found.append(f"components.custom_id: {name!r} is there twice")
        seen.add(name)
    return found


def _component(each: Mapping[str, Any]) -> list[str]:
    kind = each.get("type")
    if kind not in _KEYS:
        return [f"components.type: {kind} is unknown"]
    found = unknown(each, _KEYS[kind], f"components.type {kind}")
    match kind:
        case 1:
            found += _row(each)
        case 2:
            found += _button(each)
        case 3:
            found += _select(each)
        case 9:
            if not 1 <= len(each.get("components") or []) <= 3 or not each.get("accessory"):
                found.append("section: takes 1 to 3 texts and an accessory")
        case 10:
            found += text(each.get("content"), 1, 4000, "text.content")
        case 12:
            if not 1 <= len(each.get("items") or []) <= 10:
                found.append(f"gallery.items: {len(each.get('items') or [])}, must be 1 to 10")
        case 17:
            if any(inner.get("type") == CONTAINER for inner in each.get("components") or []):
                found.append("container: not within a container")
    return found


def _row(row: Mapping[str, Any]) -> list[str]:
    inside = row.get("components") or []
    kinds = [each.get("type") for each in inside]
    if all(kind == BUTTON for kind in kinds):
        return [] if 1 <= len(inside) <= 5 else [f"row: {len(inside)} buttons, must be 1 to 5"]
    if len(inside) == 1 and (kinds[0] in SELECTS or kinds[0] == TEXT_INPUT):
        return []
    return ["row: takes 1 to 5 buttons or one select"]


def _button(button: Mapping[str, Any]) -> list[str]:
    found = []
    style = button.get("style")
    if button.get("label") is not None:
        found += text(button["label"], 0, 80, "button.label")
    if style == _LINK:
        if not button.get("url"):
            found.append("button.url: a link button needs one")
        if "custom_id" in button:
            found.append("button.custom_id: not for a link button")
    elif style != _PREMIUM:
        if not button.get("custom_id"):
            found.append("button.custom_id: needed")
        if button.get("url"):
            found.append("button.url: only for a link button")
    if style != _PREMIUM and not button.get("label") and not button.get("emoji"):
        found.append("button: needs a label or an emoji")
    return found


def _select(select: Mapping[str, Any]) -> list[str]:
    options = select.get("options") or []
    found = [] if 1 <= len(options) <= 25 else [f"select.options: {len(options)}, must be 1 to 25"]
    values = [each.get("value") for each in options]
    if len(set(values)) != len(values):
        found.append("select.options: two of one value")
    for option in options:
        found += text(option.get("label"), 1, 100, "select.options.label")
        found += text(option.get("value"), 1, 100, "select.options.value")
        found += text(option.get("description") or "", 0, 100, "select.options.description")
    return found + text(select.get("placeholder") or "", 0, 150, "select.placeholder")


def check_modal(modal: Mapping[str, Any]) -> None:
    """A modal. Raises :class:`Refusal`."""
    components = modal.get("components") or []
    found = unknown(modal, frozenset({"custom_id", "title", "components"}), "modal")
    found += text(modal.get("title"), 1, 45, "modal.title")
    found += text(modal.get("custom_id"), 1, 100, "modal.custom_id")
    found += _identifiers(components)
    if not 1 <= len(components) <= 5:
        found.append(f"modal.components: {len(components)}, must be 1 to 5")
    for number, each in enumerate(components):
        if each.get("type") not in (ROW, TEXT_DISPLAY, LABEL):
            found.append(f"modal.components.{number}.type: {each.get('type')} is not for a modal")
        if each.get("type") == LABEL:
            found += text(each.get("label"), 1, 45, f"modal.components.{number}.label")
            found += text(each.get("description") or "", 0, 100, f"modal.components.{number}.description")
    for each in walk(components):
        found += unknown(each, _KEYS.get(int(each.get("type", 0)), frozenset(each)), f"modal.type {each.get('type')}")
        if each.get("type") == TEXT_INPUT:
            found += _text_input(each)
    refuse_form(found)


def _text_input(field: Mapping[str, Any]) -> list[str]:
    most = field.get("max_length", 4000)
    found = text(field.get("placeholder") or "", 0, 100, "field.placeholder")
    if field.get("label") is not None:
        found += text(field["label"], 1, 45, "field.label")
    if not 1 <= most <= 4000 or not 0 <= field.get("min_length", 0) <= most:
        found.append("field.max_length: must be 1 to 4000, and not below min_length")
    if field.get("value") is not None:
        found += text(field["value"], 0, most, "field.value")
    return found
