"""The files that ``calotype imagine`` writes: their names, checked before any work, and their writing."""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from calotype.errors import BadRequest, SetupError

_SLUG_LIMIT: Final = 40
"""Characters; four bytes each at most, so that a name stays far under the 255 bytes of a file system."""


@dataclass(frozen=True)
class Target:
    """Where pictures go. ``file`` None: named after prompt and seed, in the current folder."""

    file: Path | None

    def check(self) -> None:
        """Raise :class:`BadRequest` for ``output`` if the files could not be written."""
        file = self.file or Path("picture.png")
        if file.suffix.lower() != ".png":
            raise BadRequest.of("output", f"{str(file)!r} does not end in .png; pictures are written as PNG")
        if file.is_dir():
            raise BadRequest.of("output", f"{str(file)!r} is a folder; give the name of a file")
        folder = file.parent
        if not folder.is_dir():
            raise BadRequest.of("output", f"the folder {str(folder)!r} does not exist; make it first")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise BadRequest.of("output", f"the folder {str(folder)!r} cannot be written; choose another")

    def paths(self, prompt: str, seed: int, images: int) -> list[Path]:
        """One path a picture: as given, or ``name-1.png``, ``name-2.png``, … if there are several."""
        file = self.file or Path(f"{slug(prompt)}-{seed}.png")
        if images == 1:
            return [file]
        return [file.with_name(f"{file.stem}-{number}{file.suffix}") for number in range(1, images + 1)]


def slug(prompt: str) -> str:
    """A prompt as part of a file name: its letters and digits, joined by hyphens."""
    return re.sub(r"[\W_]+", "-", prompt.lower())[:_SLUG_LIMIT].strip("-") or "picture"


def write(path: Path, content: bytes) -> None:
    """The whole file or none: written beside its place and then renamed. Raises :class:`SetupError`."""
    beside = path.with_name(f".{path.name[:60]}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            beside.write_bytes(content)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise SetupError(f"output: {str(path)!r} cannot be written: {error.strerror}") from None
