"""The models that an operator added: ``models.json`` in the data folder. Their files stay where they are."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from calotype.checkpoint import ModelInfo, inspect

_VERSION: Final = 2


@dataclass(frozen=True)
class Added:
    """One of them. ``sha256`` is of all that shapes a picture, as it was when it was added; older entries have none."""

    folder: Path
    name: str | None = None
    sha256: str | None = None

    def inspect(self) -> ModelInfo:
        """The model, with the sha256 that its files must have when they are loaded. Raises :class:`ModelError`."""
        return replace(inspect(self.folder, self.name), sha256=self.sha256)


class ModelList:
    """Read anew at every ask: several processes may share a data folder."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.converted = file.with_name("models")
        """Folder of what was written out of single files."""

    def all(self) -> list[Added]:
        """In the order in which they were added, also those whose folder is gone."""
        return self._read()[0]

    @property
    def default(self) -> str | None:
        """Name of the model that is used where a request names none; None leaves it open."""
        return self._read()[1]

    def add(self, model: ModelInfo) -> None:
        """Write it down, in place of what was known of its folder."""
        entries, default = self._read()
        added = Added(model.folder, model.name, model.sha256)
        known = [each.folder for each in entries]
        if model.folder in known:
            entries[known.index(model.folder)] = added
        else:
            entries.append(added)
        self._write(entries, default)

    def remove(self, model: ModelInfo) -> None:
        """Forget it."""
        entries, default = self._read()
        left = [each for each in entries if each.folder != model.folder]
        self._write(left, None if default == model.name else default)

    def set_default(self, name: str) -> None:
        """Use it where a request names none."""
        self._write(self._read()[0], name)

    def _read(self) -> tuple[list[Added], str | None]:
        try:
            found = json.loads(self._file.read_text("utf-8"))
            if isinstance(found, list):  # as it was written at first: folders
                return [Added(Path(each)) for each in found], None
            entries = [Added(Path(each["folder"]), each.get("name"), each.get("sha256")) for each in found["models"]]
            return entries, found.get("default")
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return [], None

    def _write(self, entries: list[Added], default: str | None) -> None:
        models: list[dict[str, Any]] = [
            {"folder": str(each.folder), "name": each.name, "sha256": each.sha256} for each in entries
        ]
        text = json.dumps({"version": _VERSION, "default": default, "models": models}, indent=1)
        temporary = self._file.with_suffix(".json.tmp")
        temporary.write_text(text + "\n", "utf-8")
        temporary.replace(self._file)
