"""What the program says on stderr about its own work: one line an event."""

from __future__ import annotations

import logging
import os
import sys
from typing import Final, TextIO

from calotype.errors import SetupError

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_OWN: Final = ("calotype", "calotype_api", "calotype_bot", "calotype_gradio", "calotype_plugins")


class _Stderr(logging.StreamHandler[TextIO]):
    """Looks stderr up each time: while a spinner is drawn, rich puts itself in its place and keeps lines whole."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


def set_up(default: str) -> None:
    """Log to stderr from ``CALOTYPE_LOG_LEVEL`` (else ``default``) upwards. Raises :class:`SetupError`.

    The level is that of Calotype's own packages; libraries speak from WARNING on, or at DEBUG with everybody.
    """
    level = (os.environ.get("CALOTYPE_LOG_LEVEL") or default).upper()
    if level not in LEVELS:
        raise SetupError(f"CALOTYPE_LOG_LEVEL: {level!r} is not one of {', '.join(LEVELS)}")
    handler = _Stderr()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level if level in ("DEBUG", "ERROR", "CRITICAL") else "WARNING")
    for name in _OWN:
        logging.getLogger(name).setLevel(level)
