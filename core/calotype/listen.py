"""The address at which the service listens, taken before anything slow begins."""

from __future__ import annotations

import errno
import socket
import sys
from typing import Final

from calotype.errors import SetupError

_EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - names what an operator chose, binds nothing


def bind(host: str, port: int) -> socket.socket:
    """A listening TCP socket; ``port`` 0 takes a free one. Raises :class:`SetupError` that names what is wrong."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise SetupError(f"host: {host!r} is not a name or address; use 127.0.0.1, or 0.0.0.0 for everybody") from None
    family, kind, protocol, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)  # IPv4 where both are
    listener = socket.socket(family, kind, protocol)
    try:
        if sys.platform != "win32":  # there it would allow two programs on one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise SetupError(_reason(error, host, port)) from None
    listener.setblocking(False)
    return listener


def check(host: str, port: int) -> None:
    """Raise :class:`SetupError` if :func:`bind` would, and leave no trace."""
    bind(host, port).close()


def url(listener: socket.socket) -> str:
    """How a program of this machine reaches the socket."""
    host, port = listener.getsockname()[:2]
    host = _EVERYWHERE.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _reason(error: OSError, host: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"port: {port} on {host} is in use by another program; choose another with --port"
        case errno.EACCES:
            return f"port: {port} may be used by the system only; choose one above 1023 with --port"
        case errno.EADDRNOTAVAIL:
            return f"host: {host} is not an address of this machine; use 127.0.0.1, or 0.0.0.0 for everybody"
        case _:
            return f"port: {port} on {host} cannot be used ({error.strerror}); choose another with --port"
