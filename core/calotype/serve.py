"""``calotype serve``: the service and every front end, until a signal or a fault ends them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final

from rich.console import Console

from calotype import __version__, frontend, listen, logs
from calotype.bootstrap import catalog_for, open_service
from calotype.catalog import Catalog
from calotype.config import Settings
from calotype.errors import CalotypeError, SetupError
from calotype.frontend import FrontEnd, Hosting
from calotype.home import Home
from calotype.ledger.database import is_server
from calotype.work import Engine

_LOOK_EVERY: Final = 0.1
"""Seconds between looks at what there is to tell the operator while the service starts."""
log = logging.getLogger(__name__)


PARTS: Final = frozenset({"page", "bot", "worker"})
"""Of the service; each may be a process, or several. What is neither a bot nor an engine goes with the page."""


def run(
    *,
    host: str | None = None,
    port: int | None = None,
    model: Path | None = None,
    only: Collection[str] = PARTS,
) -> int:
    """Serve until SIGINT or SIGTERM; 0 then, 1 if a front end failed. Raises :class:`CalotypeError` before it is up.

    ``only`` names the parts that this process is; others, at the same PostgreSQL database, are the rest.
    """
    logs.set_up("INFO")
    settings = Settings.load(host=host, port=port, model=model)
    parts = _parts(only, settings)
    catalog = catalog_for(settings)
    home = Home.of(settings)
    if "page" in parts:
        _own(home, settings)
    else:
        home.enter()  # beside its owner: whoever announces an address there
    try:
        return asyncio.run(_serve(settings, home, catalog, parts))
    finally:
        home.release()


def _parts(only: Collection[str], settings: Settings) -> frozenset[str]:
    """Raises :class:`SetupError` for some of them on a SQLite file."""
    parts = frozenset(only) or PARTS
    if strange := sorted(parts - PARTS):
        raise SetupError(f"only: {strange[0]!r} is not one of {', '.join(sorted(PARTS))}")
    url = settings.database_url
    if parts != PARTS and (url is None or not is_server(url.get_secret_value())):
        raise SetupError(
            "only: several processes need a PostgreSQL database, a SQLite file belongs to one; "
            "set CALOTYPE_DATABASE_URL=postgresql://user:password@host/database, or leave out --only"
        )
    return parts


def _own(home: Home, settings: Settings) -> None:
    """Own the home if the port is free too. A port in use leaves no new folder behind. Raises :class:`SetupError`."""
    in_use: SetupError | None = None
    try:
        listen.check(settings.host, settings.port)
    except SetupError as error:
        if not home.folder.exists():
            raise
        in_use = error
    if not home.acquire():  # says more than the port, which the same server probably holds
        server = home.server()
        owner = f"the server at {server.url}" if server else "another calotype command"
        raise SetupError(f"CALOTYPE_HOME: {home.folder} is in use by {owner}")
    if in_use is not None:
        home.release()
        raise in_use


async def _serve(settings: Settings, home: Home, catalog: Catalog, parts: frozenset[str]) -> int:
    console = Console(stderr=True, highlight=False)
    stop = asyncio.Event()
    _stop_on_signals(stop, console, settings.drain_seconds)
    front_ends, absences = _present(settings, parts)
    async with open_service(settings, home, catalog, engine="worker" in parts) as studio:
        hosting = Hosting(studio, settings, home, front_ends)
        for line in absences:
            console.print(line, markup=False, soft_wrap=True)
        tasks = [asyncio.create_task(each.run(hosting), name=each.name) for each in front_ends]
        if parts == {"worker"} and studio.engine is not None:
            tasks.append(asyncio.create_task(_loaded(studio.engine), name="engine"))
        news = asyncio.create_task(_tell(hosting, console, parts))
        try:
            code = await _until(stop, tasks)
            await studio.drain(settings.drain_seconds)  # whoever waits for a running job still gets it
            return code
        finally:
            news.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(news, *tasks, return_exceptions=True)


def _stop_on_signals(stop: asyncio.Event, console: Console, drain: float) -> None:
    """The first signal stops in order, a second one at once, even if the loop hangs."""
    loop = asyncio.get_running_loop()

    def first() -> None:
        stop.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        console.print(f"stopping; running jobs get {drain:.0f} s to end; once more to stop at once")

    with contextlib.suppress(NotImplementedError):  # Windows: there Ctrl-C cancels what asyncio.run runs
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, first)


async def _loaded(engine: Engine) -> None:
    """For a process that is nothing else. Raises :class:`SetupError` if it will never make a picture."""
    await _when(lambda: engine.ready or engine.problem is not None)
    if engine.problem is not None:
        raise SetupError(f"engine: it could not be started: {engine.problem}")


def _present(settings: Settings, parts: frozenset[str] = PARTS) -> tuple[list[FrontEnd], list[str]]:
    """Front ends that take part, and a line for each that does not. Raises :class:`SetupError` if none of them does."""
    present, absences = [], []
    for each in frontend.discover():
        if each.part not in parts:
            continue
        reason = each.absent(settings)
        if reason is None:
            present.append(each)
        else:
            absences.append(f"{each.name}: {reason}")
    if not present and parts != {"worker"}:
        raise SetupError(f"front ends: none can run, so nobody could reach the service: {'; '.join(absences)}")
    return present, absences


async def _until(stop: asyncio.Event, tasks: Sequence[asyncio.Task[None]]) -> int:
    """Wait for the signal (0) or the first front end that fails (1). Raises a front end's :class:`CalotypeError`."""
    stopping = asyncio.create_task(stop.wait())
    running: set[asyncio.Task[None]] = set(tasks)
    try:
        while running and not stopping.done():
            done, _ = await asyncio.wait({stopping, *running}, return_when=asyncio.FIRST_COMPLETED)
            for task in running & done:
                error = task.exception()
                if isinstance(error, CalotypeError):
                    raise error
                if error is not None:
                    log.error("front end %s failed; the service stops", task.get_name(), exc_info=error)
                    return 1
            running -= done
        await stopping
    finally:
        stopping.cancel()
    return 0


async def _tell(hosting: Hosting, console: Console, parts: frozenset[str]) -> None:
    """What an operator wants to see: where to go, and when pictures can be made."""
    begun, engine = time.monotonic(), hosting.studio.engine
    if "page" in parts:
        await _when(lambda: bool(hosting.announcements))
    which = "" if parts == PARTS else f" ({', '.join(sorted(parts))} only)"
    console.print(f"Calotype {__version__} is up{which}. Ctrl-C stops it.")
    for line in hosting.announcements:
        console.print(f"  {line}", markup=False)
    if engine is None:
        return
    with console.status("loading the model; jobs are accepted and wait"):
        if not console.is_terminal:
            console.print("  loading the model; jobs are accepted and wait")
        await _when(lambda: engine.ready or engine.problem is not None)
    if engine.ready:
        name = hosting.studio.catalog.default_model
        console.print(f"The model {name} is loaded ({time.monotonic() - begun:.1f} s).", markup=False)
    else:
        console.print(
            f"No pictures can be made: the engine could not be started: {engine.problem}\n"
            "Jobs are accepted and wait. Mend that, then start calotype again.",
            markup=False,
            style="bold red",
        )


async def _when(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - front ends and studio have states to look at, not events to await
        await asyncio.sleep(_LOOK_EVERY)
