"""The models that are kept in memory: as many as fit a budget, the latest used."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Final
from weakref import WeakValueDictionary

from calotype.checkpoint import ModelInfo
from calotype.engine.models import LoadedModel

_MB: Final = 1e6
log = logging.getLogger(__name__)


class Shelf:
    """Loaded models by folder. Thread-safe.

    The budget counts what jobs still use although it was taken off: it is in memory all the same.
    """

    def __init__(self, budget: int) -> None:
        """``budget`` in bytes. One model is kept even if it alone is larger."""
        self._budget = budget
        self._lock = threading.Lock()
        self._thawed = False
        self._kept: dict[Path, LoadedModel] = {}
        """The latest used stands last."""
        self._alive: WeakValueDictionary[Path, LoadedModel] = WeakValueDictionary()
        """Those that were taken off but are still in use as well: nobody loads them a second time."""

    def names(self) -> set[str]:
        """Of the models that are in memory."""
        with self._lock:
            return {model.info.name for model in self._alive.values()}

    def find(self, info: ModelInfo) -> LoadedModel | None:
        """The model, if it is in memory; it is used now."""
        with self._lock:
            model = self._alive.get(info.folder)
            if model is not None:  # one that was taken off is back
                self._kept.pop(info.folder, None)
                self._kept[info.folder] = model  # room is made when another is loaded
            return model

    def keep(self, model: LoadedModel, in_use: Collection[Path] = ()) -> None:
        """It is used now. Takes off what has not been used for longest until the budget is kept.

        Those ``in_use`` (folders) go last, since they take their memory until their jobs have ended.
        """
        with self._lock:
            self._alive[model.info.folder] = model
            self._kept.pop(model.info.folder, None)
            self._kept[model.info.folder] = model
            self._make_room(self._budget, model.info.folder, in_use)

    def make_room(self, size: int, in_use: Collection[Path] = ()) -> None:
        """A model of about ``size`` bytes is about to be loaded."""
        with self._lock:
            self._make_room(self._budget - size, None, in_use)

    def settle(self) -> None:
        """After models have gone: let go of what is left of them, then freeze what is here as it was."""
        if self._thawed:
            self._thawed = False
            gc.collect()
            gc.freeze()

    def _make_room(self, budget: int, but: Path | None, in_use: Collection[Path]) -> None:
        held = sum(model.size for model in self._alive.values())
        going = [folder for folder in self._kept if folder != but]
        for folder in sorted(going, key=lambda each: each in in_use):  # a stable sort: still the oldest first
            if held <= budget:
                return
            gone = self._kept.pop(folder)
            held -= gone.size
            if gc.get_freeze_count():  # or what is in cycles, a text encoder's parts, would never be let go of
                gc.unfreeze()  # see bootstrap.py
                self._thawed = True
            later = ", when the jobs that use it have ended" if folder in in_use else ""
            told = "model %s (%.0f MB) leaves the memory%s: models may take %.0f MB (CALOTYPE_MODEL_MEMORY)"
            log.info(told, gone.info.name, gone.size / _MB, later, self._budget / _MB)
