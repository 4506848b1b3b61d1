"""Tells Discord about the commands, and only when they changed: it allows 200 creations a day."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from pathlib import Path
from typing import Any, Final

from discord import app_commands

from calotype_bot import wire

FILE: Final = "discord_commands.json"
"""In the home folder: application id → hash of what was synced last."""
log = logging.getLogger(__name__)


async def sync(tree: app_commands.CommandTree[Any], application_id: int, home: Path | None) -> bool:
    """Whether they were sent. A refusal is logged and tried again at the next start: old commands go on working."""
    file = home / FILE if home is not None else None
    known = await asyncio.to_thread(_read, file)
    now = fingerprint(tree)
    if known.get(str(application_id)) == now:
        return False
    try:
        await tree.sync()
    except wire.TROUBLE as error:
        log.error("the commands could not be registered with Discord: %s", wire.reason(error))  # noqa: TRY400 - one line says it all
        return False
    log.info("the commands were registered with Discord")
    if file is not None:
        await asyncio.to_thread(_write, file, {**known, str(application_id): now})
    return True


def fingerprint(tree: app_commands.CommandTree[Any]) -> str:
    """A hash of all that Discord is told."""
    payloads = [command.to_dict(tree) for command in tree.get_commands()]
    return hashlib.sha256(json.dumps(payloads, sort_keys=True).encode()).hexdigest()


def _read(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(file: Path, known: dict[str, Any]) -> None:
    part = file.with_suffix(".part")
    try:
        part.write_text(json.dumps(known, indent=1), encoding="utf-8")
        part.replace(file)
    except OSError as error:  # then they are sent once more at the next start
        log.warning("%s cannot be written: %s", file.name, error.strerror)
