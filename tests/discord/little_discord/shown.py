"""Components as Discord gives them back: numbered, completed, their files resolved."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from little_discord.rules_components import BUTTON, CONTAINER, FILE, GALLERY, SEPARATOR, THUMBNAIL


def shown(components: Sequence[Mapping[str, Any]], attachments: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What a checked payload's components become in a message with these attachments."""
    numbers = itertools.count(1)
    files = {f"attachment://{each['filename']}": each for each in attachments}
    return [_one(each, numbers, files) for each in components]


def _one(each: Mapping[str, Any], numbers: itertools.count[int], files: Mapping[str, Any]) -> dict[str, Any]:
    made = {key: value for key, value in each.items() if value is not None}
    made["id"] = each.get("id") or next(numbers)
    if "components" in each:
        made["components"] = [_one(inner, numbers, files) for inner in each["components"]]
    if each.get("accessory"):
        made["accessory"] = _one(each["accessory"], numbers, files)
    match each["type"]:
        case kind if kind == BUTTON:
            made.setdefault("disabled", False)
        case kind if kind == SEPARATOR:
            made = {"spacing": 1, "divider": True} | made
        case kind if kind == CONTAINER:
            made = {"accent_color": None, "spoiler": False} | made
        case kind if kind == THUMBNAIL:
            made = _described(made, files)
        case kind if kind == FILE:
            made = {"spoiler": False, "name": None, "size": None} | made | {"file": _media(each["file"], files)}
        case kind if kind == GALLERY:
            made["items"] = [_described(item, files) for item in each["items"]]
    return made


def _described(item: Mapping[str, Any], files: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": None, "spoiler": False, **item, "media": _media(item["media"], files)}


def _media(media: Mapping[str, Any], files: Mapping[str, Any]) -> dict[str, Any]:
    url = str(media["url"])
    if url not in files:
        return {"id": "1", "url": url, "proxy_url": url}
    file = files[url]
    found = {"id": file["id"], "url": file["url"], "proxy_url": file["proxy_url"], "attachment_id": file["id"]}
    return found | {"content_type": file["content_type"]}
