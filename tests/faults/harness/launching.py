"""Two ways to begin the program: cold, as its operator does, and warm, forked after the imports (zygote.py)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from serving import until

_ZYGOTE = Path(__file__).parent / "zygote.py"


class Launched(Protocol):
    """A process, begun in one way or the other."""

    pid: int

    def poll(self) -> int | None:
        """How it ended, negative for a signal; None while it runs."""
        ...


class Launcher(Protocol):
    """Begins ``calotype`` with some words, or a script that hosts it."""

    def start(
        self, words: Sequence[str], env: Mapping[str, str], cwd: Path, log: Path, script: Path | None = None
    ) -> Launched:
        """Begin it; what it says is added to ``log``."""
        ...


class Cold:
    """``python -m calotype``, imports and all."""

    def start(
        self, words: Sequence[str], env: Mapping[str, str], cwd: Path, log: Path, script: Path | None = None
    ) -> Launched:
        """See :class:`Launcher`."""
        program = ["-m", "calotype"] if script is None else [str(script)]
        with log.open("ab") as said:
            return subprocess.Popen(
                [sys.executable, *program, *words],
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                preexec_fn=_hear_interrupts,  # noqa: PLW1509 - it is one system call
            )


def _hear_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Warm:
    """Forks of one process that has imported what the program imports. Safe from several threads."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._asking = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, str(_ZYGOTE)], env=dict(env), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        if json.loads(self._process.stdout.readline() or "{}") != {"ready": True}:
            raise AssertionError("the process to fork from could not import the program")

    def start(
        self, words: Sequence[str], env: Mapping[str, str], cwd: Path, log: Path, script: Path | None = None
    ) -> Launched:
        """See :class:`Launcher`."""
        asked = {"do": "start", "words": list(words), "env": dict(env), "cwd": str(cwd), "log": str(log)}
        return _Fork(self, self.ask({**asked, "script": None if script is None else str(script)})["pid"])

    def ask(self, asked: Mapping[str, Any]) -> Any:
        """One question, one answer."""
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._asking:
            self._process.stdin.write(json.dumps(asked) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End it, and whatever it began."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


class _Fork:
    def __init__(self, parent: Warm, pid: int) -> None:
        self._parent, self.pid = parent, pid
        self._code: int | None = None

    def poll(self) -> int | None:
        if self._code is None:
            self._code = self._parent.ask({"do": "poll", "pid": self.pid})["code"]
        return self._code


class Running:
    """A process that can be signalled and waited for, however it was begun."""

    def __init__(self, launched: Launched) -> None:
        self._launched = launched
        self.begun = time.monotonic()

    @property
    def pid(self) -> int:
        """Its number."""
        return self._launched.pid

    @property
    def code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._launched.poll()

    def signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        if self.code is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self.wait()

    def wait(self) -> int:
        """Until it has ended; how."""
        until(lambda: self.code is not None, f"process {self.pid} to end")
        code = self.code
        assert code is not None
        return code
