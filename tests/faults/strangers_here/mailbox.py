"""A front end for tests: letters come in as files, results go out as lines. It uses the outbox as the bot does.

In ``$CALOTYPE_HOME/mailbox``: ``in/KEY.json`` is a request; a line of ``out.jsonl`` is a delivery.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from pathlib import Path
from typing import Any

from calotype.config import Settings
from calotype.errors import CalotypeError
from calotype.frontend import FrontEnd, Hosting
from calotype.person import Person
from calotype.request import Request

log = logging.getLogger(__name__)


class Mailbox(FrontEnd):
    """Polls, since a folder has no events that every system knows."""

    name, part = "mailbox", "bot"

    def absent(self, settings: Settings) -> str | None:
        """Unless there is a mailbox."""
        return None if (settings.home / "mailbox").is_dir() else "no mailbox"

    async def run(self, hosting: Hosting) -> None:
        """Until cancelled."""
        folder = hosting.home.folder / "mailbox"
        while True:
            try:
                await self._take_in(hosting, folder)
                await self._bring_out(hosting, folder)
            except CalotypeError as error:
                log.warning("mailbox: %s", error)
            await asyncio.sleep(0.1)

    async def _take_in(self, hosting: Hosting, folder: Path) -> None:
        for letter in sorted((folder / "in").glob("*.json")):
            request = Request.parse(json.loads(letter.read_text("utf-8")))
            reply_to = {"front_end": self.name, "letter": letter.stem}
            person = Person(f"mailbox:{letter.stem[:1]}")
            await hosting.studio.submit(request, person, key=letter.stem, reply_to=reply_to)
            letter.unlink()  # only now: it is written down

    async def _bring_out(self, hosting: Hosting, folder: Path) -> None:
        for delivery in await hosting.studio.deliveries(self.name):
            _append(folder / "out.jsonl", {"letter": delivery.reply_to["letter"], "job": delivery.job.id})
            await hosting.studio.delivered(delivery)


def _append(file: Path, line: dict[str, Any]) -> None:
    with file.open("a", encoding="utf-8") as out:
        out.write(json.dumps(line) + "\n")
        out.flush()
        os.fsync(out.fileno())
