"""uvicorn, hosted: signals stay with the command line, and nothing long-lived holds up a stop."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from typing import Final

import uvicorn
from fastapi import FastAPI

from calotype_api.door import door_of_app

_GRACE: Final = 5
"""Seconds that a stop leaves to answers under way."""


class Server(uvicorn.Server):
    """Serves ``app`` on sockets that are bound already; ``up`` is called once it answers."""

    def __init__(self, app: FastAPI, up: Callable[[], object]) -> None:
        config = uvicorn.Config(
            app,
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            # whoever sets X-Forwarded-For would be whom they please, so a client is who is at the socket's other end
            proxy_headers=False,
            timeout_graceful_shutdown=_GRACE,
        )
        super().__init__(config)
        self._app = app
        self._up = up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Raises RuntimeError if a mounted page does not start; uvicorn would end the whole program."""
        try:
            await super().startup(sockets)
        except SystemExit:
            raise RuntimeError("a page on the web application did not start; the log has the reason") from None
        self._up()

    def stop(self) -> None:
        """Take no more requests, and end."""
        door = door_of_app(self._app)
        door.stopping.set()
        door.studio.archive.hurry()  # whoever is being erased gets the report while there is somebody to send it
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """None: the command line handles them."""
        yield
