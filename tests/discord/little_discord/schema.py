"""Requests, and the server's own answers, against Discord's published description (``openapi.json``, not ours to ship).

Found through ``CALOTYPE_DISCORD_OPENAPI``, or as ``shared/discord/openapi.json`` beside the repository or above it.
"""

from __future__ import annotations

import copy
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

VARIABLE = "CALOTYPE_DISCORD_OPENAPI"
_ROOT = "urn:discord"


def find() -> Path | None:
    """The description, if this machine has it."""
    if named := os.environ.get(VARIABLE):
        return Path(named) if Path(named).is_file() else None
    for folder in Path(__file__).resolve().parents:
        path = folder / "shared" / "discord" / "openapi.json"
        if path.is_file():
            return path
    return None


class Schemas:
    """The description, ready to check with."""

    def __init__(self, path: Path) -> None:
        document = json.loads(path.read_text("utf-8"))
        self._paths: dict[str, Any] = document["paths"]
        self._registry: Registry = Registry().with_resource(_ROOT, Resource.from_contents(document, DRAFT202012))
        self._validators: dict[str, Draft202012Validator] = {}
        self.checked = 0

    def knows(self, method: str, template: str) -> bool:
        """Whether there is such a route at all."""
        return method.lower() in self._paths.get(template, {})

    def request(self, method: str, template: str, content_type: str, payload: Any) -> str | None:
        """What is wrong with a request's body; None if nothing is."""
        operation = self._paths[template][method.lower()]
        body = operation.get("requestBody")
        if body is None:
            return None if payload is None else "a body where none is taken"
        if content_type not in body["content"]:
            return f"{content_type} is not taken here"
        at = ("paths", template, method.lower(), "requestBody", "content", content_type, "schema")
        return self._check(at, _coerced(payload))

    def answer(self, method: str, template: str, status: int, payload: Any) -> str | None:
        """What is wrong with the server's answer; None if nothing is."""
        responses = self._paths[template][method.lower()]["responses"]
        if str(status) in responses:
            if "$ref" in responses[str(status)]:
                return self._check(("components", "responses", *_named(status)), payload)
            if "content" not in responses[str(status)]:
                return None if payload is None else f"{status} has no body"
            at = ("paths", template, method.lower(), "responses", str(status), "content", "application/json", "schema")
            return self._check(at, payload)
        if 400 <= status < 500:
            return self._check(("components", "responses", *_named(status)), payload)
        return f"{status} is not an answer of {method} {template}"

    def _check(self, at: tuple[str, ...], payload: Any) -> str | None:
        pointer = "/".join(each.replace("~", "~0").replace("/", "~1") for each in at)
        if pointer not in self._validators:
            reference = f"{_ROOT}#/{pointer.replace('{', '%7B').replace('}', '%7D')}"
            self._validators[pointer] = Draft202012Validator({"$ref": reference}, registry=self._registry)
        self.checked += 1
        error = best_match(self._validators[pointer].iter_errors(payload))
        return None if error is None else f"{'.'.join(map(str, error.absolute_path)) or 'body'}: {error.message[:300]}"


def _named(status: int) -> tuple[str, ...]:
    name = "ClientRatelimitedResponse" if status == 429 else "ClientErrorResponse"
    return (name, "content", "application/json", "schema")


def _coerced(payload: Any) -> Any:
    """Clients send ``attachments[].id`` as a number, which Discord takes; the description wants a string."""
    holder = payload.get("data", payload) if isinstance(payload, dict) else None
    if not isinstance(holder, dict) or not isinstance(holder.get("attachments"), list):
        return payload
    payload = copy.deepcopy(payload)
    for each in payload.get("data", payload)["attachments"]:
        if isinstance(each.get("id"), int):
            each["id"] = str(each["id"])
    return payload


@cache
def load() -> Schemas | None:
    """The description, read once; None where it is not found."""
    path = find()
    return Schemas(path) if path else None
