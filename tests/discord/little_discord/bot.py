"""The bot as a process: start, stop, kill, and what its ledger holds."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from little_discord.person import buttons
from little_discord.rest import TOKEN
from little_discord.server import Server
from little_discord.waiting import PATIENCE, until
from little_discord.world import Message

_SCRIPT = Path(__file__).parent.parent / "run_bot.py"


class Bot:
    """One home, and at most one process at a time that owns it."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.home = folder / "home"
        self.log = folder / "bot.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        self.broken = ""
        """Why it cannot be started at all, so that not every test tries again."""

    @property
    def running(self) -> bool:
        """Whether there is a process that lives."""
        return self.process is not None and self.process.poll() is None

    def start(self, *, wait: bool = True) -> None:
        """Start it; with ``wait``, until it is on the gateway."""
        assert not self.running
        sessions = len(self.server.gateway.sessions)
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CALOTYPE_")}
        settings = {"CALOTYPE_HOME": str(self.home), "CALOTYPE_THREADS": "1", "CALOTYPE_DEVICE": "cpu"}
        settings |= {"CALOTYPE_DRAIN_SECONDS": "5", "DISCORD_TOKEN": TOKEN}
        words = [sys.executable, str(_SCRIPT), str(self.server.port), str(self.server.authority)]
        self.starts += 1
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(words, env={**kept, **settings}, stdout=log, stderr=log)
        if wait:
            until(lambda: self._lives() and len(self.server.gateway.sessions) > sessions, "the bot on the gateway")
            until(lambda: self.server.gateway.sessions[-1].ready, "the bot to be ready")

    def kill(self) -> None:
        """kill -9."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(PATIENCE)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Look into its database, read-only."""
        connection = sqlite3.connect(f"file:{self.home / 'calotype.db'}?mode=ro", uri=True, timeout=10)
        try:
            return list(connection.execute(query, values))
        finally:
            connection.close()

    def jobs(self, prompt: str) -> list[tuple[str, str]]:
        """Id and status of the jobs with a prompt."""
        found = self.rows("SELECT id, status, request FROM jobs")
        return [(identifier, status) for identifier, status, request in found if f'"{prompt}"' in str(request)]

    def undelivered(self) -> int:
        """Rows in the outbox that are still to be delivered."""
        return int(self.rows("SELECT count(*) FROM outbox WHERE NOT given_up")[0][0])

    def tail(self, size: int = 6000) -> str:
        """The end of its log, for a failing test."""
        return self.log.read_text("utf-8", "replace")[-size:] if self.log.exists() else ""

    def _lives(self) -> bool:
        if not self.running:
            self.broken = self.tail(300)
            raise AssertionError(f"the bot has ended:\n{self.tail()}")
        return True


def delivered(bot: Bot, message: Message, seconds: float = PATIENCE) -> None:
    """Wait for the last edit, and for the bot to have written down that it was made."""
    until(lambda: "Re-roll" in buttons(message), f"the result in {message.id}, which has {buttons(message)}", seconds)
    until(lambda: bot.undelivered() == 0, "an empty outbox")
