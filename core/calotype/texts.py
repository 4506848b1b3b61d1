"""Texts that every database can hold: no NUL character, which PostgreSQL refuses, and no half of a surrogate pair.

JSON can carry both, so they come in by every door. What a person sends is refused by name, what a front end adds by
itself (the name that somebody has elsewhere) is mended.
"""

from __future__ import annotations

import re
from typing import Any, Final

from calotype.errors import BadRequest

BROKEN: Final = "holds NUL characters or bytes that are not text; send plain text"
_BROKEN: Final = re.compile("[\x00\ud800-\udfff]")


def is_sound(text: str) -> bool:
    """Whether a database can hold it."""
    return _BROKEN.search(text) is None


def is_sound_throughout(value: Any) -> bool:
    """Whether a database can hold every text in a JSON value, names of fields included; however deep it is."""
    left = [value]
    while left:
        match left.pop():
            case str() as text:
                if not is_sound(text):
                    return False
            case dict() as fields:
                left += [*fields.keys(), *fields.values()]
            case list() | tuple() as items:
                left += items
    return True


def check(field: str, value: Any) -> None:
    """Raises :class:`BadRequest` that names the field, unless a database can hold the text or JSON value."""
    if not is_sound_throughout(value):
        raise BadRequest.of(field, BROKEN)


def mended(text: str) -> str:
    """The text with a sign in the place of what no database can hold."""
    return _BROKEN.sub("\ufffd", text)


def mended_throughout(value: Any) -> Any:
    """A JSON value of few levels with every text :func:`mended`."""
    match value:
        case str():
            return mended(value)
        case dict():
            return {mended_throughout(name): mended_throughout(each) for name, each in value.items()}
        case list() | tuple():
            return [mended_throughout(each) for each in value]
        case _:
            return value
