"""The header of a safetensors file: names, shapes and places of its tensors, without reading one. No torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

LIMIT: Final = 100_000_000
"""Bytes of a header."""
UNREADABLE: Final = (ValueError, KeyError, TypeError, AttributeError)
"""What :func:`read` raises, beside OSError, for what is no such file: each caller says it to whom it concerns."""


class Header(NamedTuple):
    """``tensors`` by name, each with ``shape``, ``dtype`` and ``data_offsets``; and the file's own remarks."""

    tensors: Mapping[str, Mapping[str, Any]]
    metadata: Mapping[str, str]


def read(file: Path, limit: int = LIMIT) -> Header:
    """Raises OSError, or one of :data:`UNREADABLE` if it is damaged, or not as long as its header says."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        if not 2 <= length <= min(size, limit):
            raise ValueError("its header is damaged")
        tensors: dict[str, Any] = json.loads(opened.read(length))
    metadata = tensors.pop("__metadata__", None) or {}
    end = 8 + length + max(int(tensor["data_offsets"][1]) for tensor in tensors.values())
    if size != end:
        raise ValueError(f"it has {size} bytes, but its header promises {end}")
    return Header(tensors, metadata)
