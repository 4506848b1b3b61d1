"""Forks the real program from a process that has imported its libraries already: a start without 6 s of imports.

``python zygote.py`` reads one JSON object a line from stdin and answers with one a line. A child is a process like any
other: its own memory, threads, sockets and files; it ends by kill -9 as every other does. Nothing of Calotype has run
before the fork but imports.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

LIBRARIES = (
    "torch", "diffusers", "transformers", "gradio", "uvicorn", "discord", "psycopg", "alembic", "sqlalchemy",
    "apscheduler.schedulers.background", "calotype.bootstrap", "calotype.chores", "calotype.cli", "calotype.dispatch",
    "calotype.engine.host", "calotype.images.store", "calotype.ledger.migrate", "calotype.serve", "calotype_api.app",
    "calotype_api.server", "calotype_bot.bot", "calotype_gradio.mounting",
)  # fmt: skip


def main() -> None:
    """Until stdin ends; then nothing that was begun here is left."""
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    children: dict[int, int | None] = {}
    _answer({"ready": True})
    try:
        for line in sys.stdin:
            asked: dict[str, Any] = json.loads(line)
            if asked["do"] == "start":
                pid = os.fork()
                if pid == 0:
                    _become(asked)
                children[pid] = None
                _answer({"pid": pid})
            else:
                _answer({"code": _code(children, asked["pid"])})
    finally:
        for pid, code in children.items():
            if code is None and _code(children, pid) is None:
                os.kill(pid, signal.SIGKILL)


def _code(children: dict[int, int | None], pid: int) -> int | None:
    """Of its end, negative for a signal; None while it runs."""
    if children[pid] is None:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            children[pid] = os.waitstatus_to_exitcode(status)
    return children[pid]


def _answer(said: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def _become(asked: dict[str, Any]) -> NoReturn:
    """The program that was asked for, to its end."""
    code = 1
    try:
        nothing, log = os.open(os.devnull, os.O_RDWR), os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for here, there in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(here, there)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.clear()
        os.environ.update(asked["env"])
        os.chdir(asked["cwd"])
        words: list[str] = asked["words"]
        if asked["script"] is None:
            from calotype.cli import main as calotype

            code = calotype(words)
        else:
            sys.argv = [asked["script"], *words]
            sys.path.insert(0, str(Path(asked["script"]).parent))
            runpy.run_path(asked["script"], run_name="__main__")
            code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - as an interpreter would: say it and end
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
