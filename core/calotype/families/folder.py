"""A model folder in diffusers' layout: its JSON files and safetensors headers. No torch, milliseconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

from calotype.errors import ModelError
from calotype.families import headers


class Folder:
    """Reads what is asked for. Everything raises :class:`ModelError` in one line that says what to do."""

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise ModelError(f"model: {path} is not a folder; give the path of a diffusers model folder")
        self.path = path

    @cached_property
    def index(self) -> dict[str, Any]:
        """``model_index.json``."""
        return self.json("model_index.json")

    @property
    def pipeline(self) -> str:
        """Name of the pipeline class that it was saved from."""
        return str(self.index.get("_class_name"))

    def has(self, part: str) -> bool:
        """Whether there is such a part: it may be left out, as a large text encoder often is."""
        return (self.path / part).is_dir() and self.index.get(part, [None])[0] is not None

    def json(self, name: str) -> dict[str, Any]:
        """The object in a file."""
        path = self.path / name
        try:
            value = json.loads(path.read_text("utf-8"))
        except FileNotFoundError:
            raise ModelError(f"model: {self.path} has no {name}; it is not a complete diffusers folder") from None
        except (OSError, ValueError) as error:
            raise ModelError(f"model: {path} cannot be read as JSON: {error}") from None
        if not isinstance(value, dict):
            raise ModelError(f"model: {path} does not hold a JSON object")
        return value

    def config(self, part: str) -> dict[str, Any]:
        """``config.json`` of a part."""
        return self.json(f"{part}/config.json")

    def require(self, *names: str) -> None:
        """Folders without weights that have to be there, as a tokenizer's."""
        for name in names:
            if not (self.path / name).is_dir():
                raise ModelError(f"model: {self.path} has no folder '{name}'; it is not a complete diffusers folder")

    def weights(self, part: str) -> Sequence[Path]:
        """The safetensors files of a part, in a fixed order. Pickle files are never read."""
        folder = self.path / part
        found = sorted(folder.glob("*.safetensors"))
        if not found:
            if any(folder.glob("*.bin")) or any(folder.glob("*.ckpt")):
                raise ModelError(
                    f"model: {folder} holds pickle weights, which can run any code; convert them to safetensors "
                    "(diffusers: pipe.save_pretrained(folder, safe_serialization=True))"
                )
            raise ModelError(f"model: {folder} has no *.safetensors file; the folder is not a complete model")
        # the full-precision weights where there is an fp16 variant beside them, whether in one file or in several
        plain = [path for path in found if len(path.suffixes) == 1] or found[:1]
        indices = sorted(folder.glob("*.safetensors.index.json"))
        if indices and len(plain) != 1:
            return self._shards(part, min(indices, key=lambda path: len(path.suffixes)))
        return plain[:1]

    def parameters(self, part: str) -> int:
        """Number of weights by the headers, after checking that every file is as long as its header says."""
        return sum(map(_parameters, self.weights(part)))

    def _shards(self, part: str, index: Path) -> Sequence[Path]:
        listed = self.json(f"{part}/{index.name}").get("weight_map")
        names = sorted({str(name) for name in listed.values()}) if isinstance(listed, dict) else []
        if missing := [name for name in names if not (self.path / part / name).is_file()]:
            raise ModelError(f"model: {self.path / part} has no {missing[0]}, which {index.name} names; fetch it again")
        return [self.path / part / name for name in names]


def _parameters(path: Path) -> int:
    try:
        return sum(prod(tensor["shape"]) for tensor in headers.read(path).tensors.values())
    except OSError as error:
        raise ModelError(f"model: {path} cannot be read: {error.strerror}") from None
    except headers.UNREADABLE as error:
        raise ModelError(f"model: {path} is not a whole safetensors file: {error}; download it again") from None
