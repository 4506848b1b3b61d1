"""Models, as the operator deals with them: added, listed, taken off, made the default. Part of the studio."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from calotype import texts
from calotype.catalog import Catalog
from calotype.checkpoint import EMBEDDED, ModelInfo, fingerprint, inspect
from calotype.errors import BadRequest, ModelError, NotAllowed
from calotype.hub import fetched
from calotype.person import Person

if TYPE_CHECKING:
    from calotype.model_list import ModelList

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_FIELDS: Final = ("model", "folder", "name", "sha256")


class Models:
    """Coroutines of the studio's event loop; files are read in threads. ``added`` None writes nothing down."""

    def __init__(self, catalog: Catalog, added: ModelList | None = None) -> None:
        self._catalog, self._added = catalog, added

    async def add(self, what: str, by: Person, name: str | None = None, sha256: str | None = None) -> ModelInfo:
        """Offer a model, also after a restart: a folder in diffusers' layout, a single file, or a hub id.

        All its files are read once, and their sha256 is written down: whenever it is loaded they must be those. With
        ``sha256`` they must be so already. One that is offered from that folder already stays as it is unless a name
        is given. Raises :class:`ModelError` for what is wrong with it, :class:`SetupError` if the name is taken,
        :class:`NotAllowed`.
        """
        check_operator(by)
        check_words(name, sha256)
        converted = None if self._added is None else self._added.converted
        folder = await asyncio.to_thread(fetched, what, converted)
        known = next((m for m in self._catalog.models.values() if m.folder == folder.resolve()), None)
        if known is not None and name in (None, known.name) and sha256 in (None, known.sha256):
            return known
        if known is not None:
            raise BadRequest.of("model", f"{folder} is offered as {known.name} already; remove that first")
        model = await asyncio.to_thread(inspect, folder, name)
        model = replace(model, sha256=await asyncio.to_thread(fingerprint, model))
        if sha256 not in (None, model.sha256):
            raise ModelError(
                f"model: the sha256 of {folder} is {model.sha256}, not the one that you gave; fetch it again"
            )
        self._catalog.add_model(model)
        if self._added is not None:
            await asyncio.to_thread(self._added.add, model)
        return model

    async def remove(self, name: str, by: Person) -> ModelInfo:
        """Offer it no more; its files stay. Jobs that wait for it fail. Raises :class:`BadRequest`."""
        check_operator(by)
        model = self._known(name)
        if model.folder == EMBEDDED.resolve():
            raise BadRequest.of("model", f"{name} ships with the program and cannot be removed")
        self._catalog.remove_model(name)
        if self._added is not None:
            await asyncio.to_thread(self._added.remove, model)
        return model

    async def use(self, name: str, by: Person) -> ModelInfo:
        """Make it the one that is used where a request names none. Raises :class:`BadRequest`."""
        check_operator(by)
        model = self._known(name)
        self._catalog.default_model = name
        if self._added is not None:
            await asyncio.to_thread(self._added.set_default, name)
        return model

    def _known(self, name: str) -> ModelInfo:
        model = self._catalog.models.get(name)
        if model is None:
            raise BadRequest.of("model", f"{name[:60]!r} is not one of {', '.join(self._catalog.models)}")
        return model


async def add_from(models: Models, body: Mapping[str, Any], by: Person) -> ModelInfo:
    """What the HTTP API and the command line add: ``model`` (or ``folder``), ``name``, ``sha256``."""
    check_operator(by)
    if strange := [field for field in body if field not in _FIELDS]:
        raise BadRequest.of(strange[0][:40], f"is not one of {', '.join(_FIELDS)}")
    for field, value in body.items():
        if value is not None and (not isinstance(value, str) or not value or not texts.is_sound(value)):
            raise BadRequest.of(field, "is not text")
    what = body.get("model") or body.get("folder")
    if what is None:
        raise BadRequest.of("model", "is missing; give the path of a diffusers folder, or the id of a repository")
    return await models.add(what, by, body.get("name"), body.get("sha256"))


def described(catalog: Catalog, model: ModelInfo) -> dict[str, Any]:
    """A model for the operator, as plain values."""
    return {
        "name": model.name,
        "family": model.family,
        "size": "{}x{}".format(*model.default_size),
        "parameters": model.parameters,
        "default": model.name == catalog.default_model,
        "sha256": model.sha256,
        "folder": str(model.folder),
    }


def check_words(name: str | None, sha256: str | None) -> None:
    """Raises :class:`BadRequest` that names what is wrong."""
    if name is not None and not _NAME.fullmatch(name):
        raise BadRequest.of("name", f"{name[:60]!r} is not 1 to 60 letters, digits, '.', '_' and '-'")
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise BadRequest.of("sha256", "is not 64 digits, 0-9 and a-f; leave it out to learn it")


def check_operator(by: Person) -> None:
    """Raises :class:`NotAllowed`."""
    if not by.operator:
        raise NotAllowed("model: only the operator may change which models there are")
