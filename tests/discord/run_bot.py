"""The shipped bot in a process of its own, led to the small Discord by its connector and by nothing else.

``python run_bot.py PORT AUTHORITY``, with ``CALOTYPE_HOME`` and ``DISCORD_TOKEN`` as for ``calotype serve``.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from little_discord.connector import connector

from calotype import logs
from calotype.bootstrap import catalog_for, open_service
from calotype.config import Settings
from calotype.frontend import Hosting
from calotype.home import Home
from calotype_bot.front_end import Discord


async def main(port: int, authority: Path) -> None:
    """Serve until SIGTERM."""
    settings = Settings.load()
    catalog = catalog_for(settings)
    home = Home(settings.home)
    assert home.acquire(), "the home is in use"
    front_end = Discord(connector=lambda: connector(port, authority))
    assert front_end.absent(settings) is None
    try:
        async with open_service(settings, home, catalog) as studio:
            running = asyncio.create_task(front_end.run(Hosting(studio, settings, home, [front_end])))
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
            await asyncio.gather(running, return_exceptions=True)
            if not running.cancelled() and (error := running.exception()) is not None:
                raise error
    finally:
        home.release()


if __name__ == "__main__":
    logs.set_up("INFO")
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
