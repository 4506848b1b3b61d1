"""The Discord front end: ``/imagine`` in any channel, through the one Studio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from calotype_bot.bot import make_bot as make_bot

__all__ = ["make_bot"]


def __getattr__(name: str) -> Any:
    """Imports discord.py only for those who want a bot."""
    if name == "make_bot":
        from calotype_bot.bot import make_bot

        return make_bot
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
