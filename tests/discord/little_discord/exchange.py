"""One request and its answer: read, checked, recorded."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from aiohttp import BodyPartReader, MultipartReader, web

from little_discord.refusal import Refusal, refuse_form
from little_discord.rules_messages import Upload

_FILE = re.compile(r"files\[(\d+)\]")


@dataclass
class Exchange:
    """What was asked, and what was answered."""

    method: str
    path: str
    """After ``/api/v10``."""
    template: str
    at: float
    query: dict[str, str] = field(default_factory=dict)
    content_type: str = ""
    payload: Any = None
    uploads: list[Upload] = field(default_factory=list)
    status: int = 0
    code: int | None = None
    answer: Any = None

    def __str__(self) -> str:
        return f"{self.method} {self.path} -> {self.status}"


async def read(request: web.Request, exchange: Exchange) -> None:
    """Fill in the body. Raises :class:`Refusal`."""
    exchange.content_type = request.content_type if request.body_exists else ""
    if not request.body_exists:
        return
    if request.content_type == "application/json":
        try:
            exchange.payload = await request.json()
        except json.JSONDecodeError:
            refuse_form(["the body is not JSON"])
    elif request.content_type == "multipart/form-data":
        await _read_parts(await request.multipart(), exchange)
    elif await request.read():
        refuse_form([f"a body of type {request.content_type}"])


async def _read_parts(parts: MultipartReader, exchange: Exchange) -> None:
    problems = []
    while (part := await parts.next()) is not None:
        assert isinstance(part, BodyPartReader)
        data = bytes(await part.read())
        name = part.name or ""
        if name == "payload_json":
            exchange.payload = json.loads(data)
        elif found := _FILE.fullmatch(name):
            exchange.uploads.append(Upload(int(found[1]), part.filename or "", data))
            if not part.filename:
                problems.append(f"{name}: has no file name")
        else:
            problems.append(f"{name}: neither payload_json nor files[n]")
    refuse_form(problems)


__all__ = ["Exchange", "Refusal", "read"]
