"""What a message may not be, whichever way it is sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from little_discord.refusal import EMPTY, TOO_LARGE, Refusal, refuse_form
from little_discord.rules_commands import text, unknown
from little_discord.rules_components import component_problems, media

EPHEMERAL, LOADING, COMPONENTS_V2 = 1 << 6, 1 << 7, 1 << 15
FILE_LIMIT, REQUEST_LIMIT = 10 * 2**20, 25 * 2**20
_SETTABLE = (1 << 2) | EPHEMERAL | (1 << 12) | COMPONENTS_V2
Way = Literal["channel", "channel edit", "callback", "webhook", "webhook edit"]
_COMMON = "content embeds allowed_mentions components attachments flags poll tts"
# discord.py sends ``tts`` with every edit; Discord ignores it there.
_KEYS: dict[Way, frozenset[str]] = {
    "channel": frozenset(f"{_COMMON} sticker_ids message_reference nonce enforce_nonce shared_client_theme".split()),
    "channel edit": frozenset(f"{_COMMON} sticker_ids".split()),
    "callback": frozenset(_COMMON.split()),
    "webhook": frozenset(f"{_COMMON} username avatar_url thread_name applied_tags".split()),
    "webhook edit": frozenset(_COMMON.split()),
}
_EMBED_KEYS = frozenset(
    [
        "type",
        "url",
        "title",
        "color",
        "timestamp",
        "description",
        "author",
        "image",
        "thumbnail",
        "footer",
        "fields",
        "provider",
        "video",
    ]
)
_EMBED_TEXT = {"title": 256, "description": 4096}


@dataclass(frozen=True)
class Upload:
    """A file of a multipart request."""

    index: int
    filename: str
    data: bytes


@dataclass
class Before:
    """What an edit starts from; empty for a new message."""

    flags: int = 0
    content: str = ""
    embeds: Sequence[Mapping[str, Any]] = ()
    components: Sequence[Mapping[str, Any]] = ()
    attachments: Sequence[Mapping[str, Any]] = field(default_factory=tuple)


def check_message(
    payload: Mapping[str, Any], uploads: Sequence[Upload], way: Way, *, before: Before | None = None
) -> None:
    """A message to be made or changed. Raises :class:`Refusal` with everything that is wrong."""
    _check_size(uploads)
    known = before or Before()
    content, embeds = payload.get("content") or "", payload.get("embeds") or []
    components, flags = payload.get("components") or [], payload.get("flags") or 0
    v2 = bool((flags | known.flags) & COMPONENTS_V2)
    found = unknown(payload, _KEYS[way], "message") + text(content, 0, 2000, "content")
    if flags & ~_SETTABLE:
        found.append(f"flags: {flags} holds flags that cannot be set")
    if v2 and (content or embeds or payload.get("poll") or payload.get("sticker_ids")):
        found.append("message: with IS_COMPONENTS_V2 there is no content, embed, poll or sticker")
    if v2 and not known.flags & COMPONENTS_V2 and before is not None:
        for name in ("content", "embeds"):  # what was there must be taken away by the same edit
            if getattr(known, name) and (name not in payload or payload[name]):
                found.append(f"{name}: the message still has some, which IS_COMPONENTS_V2 does not allow")
    found += component_problems(components, v2=v2) + _embeds(embeds)
    names, problems = _attachments(payload, uploads, known)
    found += problems + _references(embeds, components, names) + _mentions(payload.get("allowed_mentions") or {})
    if payload.get("nonce") is not None and len(str(payload["nonce"])) > 25:
        found.append("nonce: more than 25 characters")
    refuse_form(found)
    if _empty(payload, names, known):
        raise Refusal(EMPTY)


def _check_size(uploads: Sequence[Upload]) -> None:
    if any(len(each.data) > FILE_LIMIT for each in uploads) or sum(len(each.data) for each in uploads) > REQUEST_LIMIT:
        raise Refusal(TOO_LARGE)


def _empty(payload: Mapping[str, Any], names: Iterable[str], before: Before) -> bool:
    def stays(name: str) -> Any:
        return payload[name] if name in payload else getattr(before, name, None)

    rest = ("poll", "sticker_ids")
    return not (any(stays(each) for each in ("content", "embeds", "components", *rest)) or list(names))


def _embeds(embeds: Sequence[Mapping[str, Any]]) -> list[str]:
    found = [f"embeds: {len(embeds)}, must be at most 10"] if len(embeds) > 10 else []
    total = 0
    for number, embed in enumerate(embeds):
        where = f"embeds.{number}"
        found += unknown(embed, _EMBED_KEYS, where)
        parts = [(name, embed.get(name) or "", limit) for name, limit in _EMBED_TEXT.items()]
        parts.append(("footer.text", (embed.get("footer") or {}).get("text") or "", 2048))
        parts.append(("author.name", (embed.get("author") or {}).get("name") or "", 256))
        fields = embed.get("fields") or []
        if len(fields) > 25:
            found.append(f"{where}.fields: more than 25")
        for each in fields:
            found += text(each.get("name"), 1, 256, f"{where}.fields.name")
            found += text(each.get("value"), 1, 1024, f"{where}.fields.value")
            total += len(each.get("name") or "") + len(each.get("value") or "")
        for name, value, limit in parts:
            found += text(value, 0, limit, f"{where}.{name}")
            total += len(value)
    return [*found, f"embeds: {total} characters in all, must be at most 6000"] if total > 6000 else found


def _attachments(payload: Mapping[str, Any], uploads: Sequence[Upload], before: Before) -> tuple[list[str], list[str]]:
    """Names of the files that the message has afterwards, and what is wrong with them."""
    new, old = {each.index: each for each in uploads}, {str(each["id"]): each for each in before.attachments}
    listed = payload.get("attachments")
    if listed is None:  # not said: those that are there stay
        names = [*(str(each["filename"]) for each in before.attachments), *(each.filename for each in uploads)]
        return names, []
    found, names, used = [], [], set()
    for number, each in enumerate(listed):
        key = str(each.get("id"))
        if key in old:
            names.append(str(old[key]["filename"]))
        elif key.isdecimal() and int(key) in new:
            used.add(int(key))
            names.append(each.get("filename") or new[int(key)].filename)
        else:
            found.append(f"attachments.{number}.id: {key} is neither a file of this request nor of the message")
        found += text(each.get("description") or "", 0, 1024, f"attachments.{number}.description")
    found += [f"files[{index}]: not listed in attachments" for index in new.keys() - used]
    if len(names) > 10:
        found.append(f"attachments: {len(names)}, must be at most 10")
    return names, found


def _references(
    embeds: Sequence[Mapping[str, Any]], components: Sequence[Mapping[str, Any]], names: Sequence[str]
) -> list[str]:
    shown = list(media(components))
    for embed in embeds:
        shown += [str((embed.get(each) or {}).get("url")) for each in ("image", "thumbnail") if embed.get(each)]
    lost = [url for url in shown if url.startswith("attachment://") and url.removeprefix("attachment://") not in names]
    return [f"{url}: no such file in the message" for url in lost]


def _mentions(allowed: Mapping[str, Any]) -> list[str]:
    found = unknown(allowed, frozenset({"parse", "users", "roles", "replied_user"}), "allowed_mentions")
    found += [
        f"allowed_mentions.{kind}: both in parse and listed"
        for kind in ("users", "roles")
        if allowed.get(kind) and kind in (allowed.get("parse") or [])
    ]
    return found
