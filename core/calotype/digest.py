"""One sha256 over several files: what tells code or weights apart where names and versions do not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Final

_WHOLE: Final = 32 * 2**20
"""Bytes of a file up to which its content counts: a plugin may bring gigabytes, and is looked at at each start."""


def digest(files: Iterable[tuple[str, Path]]) -> str:
    """Over files, each with the name that is given for it, in the order of the names. Of a huge one only its size."""
    found = hashlib.sha256()
    for name, file in sorted(files):
        size = file.stat().st_size
        found.update(f"{name} {size}\n".encode())
        if size <= _WHOLE:
            found.update(file.read_bytes())
    return found.hexdigest()


def code_of(module: ModuleType) -> str | None:
    """Over all files of a module's package; over its one file if it is in none. None if there is no file."""
    if not getattr(module, "__file__", None):
        return None
    file = Path(str(module.__file__))
    if not getattr(module, "__package__", None):
        files = [file]
    else:
        files = [each for each in file.parent.rglob("*") if each.is_file() and "__pycache__" not in each.parts]
    try:
        return digest((each.relative_to(file.parent).as_posix(), each) for each in files)
    except OSError:  # inside of an archive, or changed while we look
        return None
