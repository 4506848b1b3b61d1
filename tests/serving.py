"""The real program in its own process: one command, or a server on a free port."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx

PATIENCE = 90.0
"""Seconds for what a busy machine may be slow at; nothing is expected to take them."""


def environment(home: Path, **more: str) -> dict[str, str]:
    """The surroundings of a run on ``home``, whatever the developer's own settings are."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CALOTYPE_")}
    return {**kept, "CALOTYPE_HOME": str(home), **more}


def command(*words: str | bytes | Path) -> list[str | bytes | Path]:
    return [sys.executable, "-m", "calotype", *words]


def calotype(*words: str | bytes | Path, home: Path, cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    return subprocess.run(
        command(*words),
        env=environment(home, **more),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def start(*words: str | Path, home: Path, cwd: Path, log: Path | None = None, **more: str) -> subprocess.Popen[bytes]:
    """Begin one command; its stderr goes to ``log``."""
    with (log or Path(os.devnull)).open("wb") as stderr:
        return subprocess.Popen(
            command(*words),
            env=environment(home, **more),
            cwd=cwd,
            stdout=subprocess.PIPE,
            stderr=stderr,
            preexec_fn=_hear_interrupts,  # noqa: PLW1509 - it is one system call
        )


def _hear_interrupts() -> None:
    """A shell that runs the tests in the background ignores SIGINT, and its children would inherit that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def until(condition: Callable[[], Any], what: str) -> Any:
    """Wait for a condition and return its value."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"waited {PATIENCE:.0f} s for {what}")


class Served:
    """``calotype serve`` on a free port."""

    def __init__(self, home: Path, *words: str | Path, **more: str) -> None:
        self.home = home
        self.log = home.with_suffix(".log")
        self.process = start("serve", "--port", "0", *words, home=home, cwd=home.parent, log=self.log, **more)
        try:
            found = until(self._announced, "the server's address")
        except BaseException:
            self.process.kill()
            raise
        self.url: str = found["url"]
        self.token: str = found["token"]

    def client(self, *, token: str | None = None, address: str | None = None) -> httpx.Client:
        """A client; ``address`` is its own, one of 127.0.0.0/8, and so who it is to the server."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        transport = httpx.HTTPTransport(local_address=address) if address else None
        return httpx.Client(base_url=self.url, headers=headers, transport=transport, timeout=PATIENCE, trust_env=False)

    def wait_ready(self) -> None:
        """Until the model is loaded."""
        with self.client() as client:
            until(lambda: self._lives() and client.get("/readyz").status_code == 200, "the model")

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def _lives(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.log.read_text()}")
        return True

    def _announced(self) -> dict[str, str] | None:
        self._lives()
        try:
            found: dict[str, str] = json.loads((self.home / "server.json").read_text("utf-8"))
        except OSError:
            return None
        return found


def server_sent(lines: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    """Name and data of each event in a text/event-stream."""
    names = [line[7:] for line in lines if line.startswith("event: ")]
    data = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    return list(zip(names, data, strict=True))
