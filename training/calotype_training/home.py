"""Where training keeps what it makes: outside the checkout. Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from calotype_training.errors import TrainingError, first_line


def training_home() -> Path:
    """``CALOTYPE_TRAINING_HOME``, made if need be.

    Raises :class:`TrainingError` if it lies in the checkout or cannot be written.
    """
    wanted = os.environ.get("CALOTYPE_TRAINING_HOME") or Path.home() / ".cache" / "calotype-training"
    folder = Path(wanted).expanduser().resolve()
    checkout = Path(__file__).resolve().parents[2]
    if folder.is_relative_to(checkout):
        raise TrainingError(f"CALOTYPE_TRAINING_HOME: {folder} lies in the checkout; name a folder outside of it")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"CALOTYPE_TRAINING_HOME: {folder} cannot be made: {error.strerror}") from None
    return folder


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Let ``write`` fill a file beside ``path``, then rename it: a kill or a full disk leaves the old one as it was.

    Raises :class:`TrainingError` if the disk refuses.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(part)
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:
        with suppress(OSError):  # the folder itself may be what failed
            part.unlink()
        why = first_line(error)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            why = "the disk is full; make room and run it again"
        elif isinstance(error, RuntimeError):  # torch's way to say it
            why = f"the disk may be full ({why})"
        raise TrainingError(f"{path} could not be written: {why}. What was there before is intact") from error
    return path
