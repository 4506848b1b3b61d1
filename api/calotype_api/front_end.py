"""``web``: the front end that owns the port. FastAPI and uvicorn are imported only when it runs."""

from __future__ import annotations

import asyncio
import contextlib

from calotype import listen
from calotype.frontend import FrontEnd, Hosting
from calotype.visitors import Visitors


class Web(FrontEnd):
    """HTTP: the API itself, and whatever pages other front ends mount beside it."""

    name = "web"

    async def run(self, hosting: Hosting) -> None:
        """Serve until cancelled; then finish what is short and end what is long.

        Raises :class:`SetupError` if the port is in use, before anything else is begun.
        """
        settings = hosting.settings
        listener = listen.bind(settings.host, settings.port)
        with contextlib.closing(listener):
            from calotype_api.app import create_app
            from calotype_api.server import Server

            url = listen.url(listener)
            visitors = Visitors(hosting.home.secret())
            app = create_app(hosting.studio, settings, hosting.home.announce(url).token, visitors)
            for front_end in hosting.front_ends:
                if front_end is not self:
                    front_end.mount(app, hosting)
            server = Server(app, up=lambda: hosting.announcements.append(url))
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            try:
                await asyncio.shield(serving)
            except asyncio.CancelledError:
                server.stop()
                await serving
                raise
