"""``calotype imagine``: everything is checked first; then a darkroom makes the pictures, and they are written."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from calotype import logs
from calotype.bootstrap import catalog_for
from calotype.catalog import Catalog
from calotype.cli_output import Target, write
from calotype.config import Settings
from calotype.errors import BadRequest, CalotypeError
from calotype.events import Cancelled, Event, Failed
from calotype.home import Home
from calotype.moderation.prompts import PromptReview
from calotype.request import SEED_LIMIT, Request

if TYPE_CHECKING:
    from calotype.darkroom import Darkroom


class JobFailed(CalotypeError):
    """The job was accepted and did not end in pictures."""


@dataclass(frozen=True)
class Wish:
    """The command's words, not yet checked."""

    fields: Mapping[str, Any]
    sets: Sequence[str]
    output: Path | None
    as_json: bool
    begun: float
    """:func:`time.monotonic` when the command began."""
    init: Path | None = None
    """The picture to start from."""
    mask: Path | None = None
    """The picture that says which part of it is repainted."""


@dataclass(frozen=True)
class Order:
    """A wish that was checked. ``doubt`` is what only a running server could still accept: its own models."""

    wish: Wish
    settings: Settings
    home: Home
    catalog: Catalog
    request: Request
    target: Target
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Picture files by the request's field. Until they are taken in, it names them by their own sha256."""
    doubt: BadRequest | None = None


def run(wish: Wish) -> int:
    """Make the pictures; the exit code. Raises :class:`CalotypeError` for all that goes wrong."""
    logs.set_up("WARNING")
    order = check(wish)
    job, files, noted = asyncio.run(_produce(order))
    _report(wish, job, files, noted)
    return 0


def check(wish: Wish) -> Order:
    """Check all that can be known without an engine, and write nothing. Raises :class:`CalotypeError`."""
    given = {"init_image": ("init", wish.init), "mask": ("mask", wish.mask)}
    files = {name: _picture(file, option) for name, (option, file) in given.items() if file is not None}
    named = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    request = Request.parse({**wish.fields, **named, "options": options(wish.sets)})
    target = Target(wish.output)
    target.check()
    # other people's jobs that our engine may have picked up go back into the queue at once when we are done
    settings = Settings.load(drain_seconds=0)
    catalog = catalog_for(settings)
    if request.model is not None and request.model not in catalog.models and _is_folder(request.model):
        settings = settings.model_copy(update={"model": Path(request.model).expanduser().absolute()})
        catalog = catalog_for(settings)
        request = request.model_copy(update={"model": catalog.default_model})
    if request.seed is None:
        request = request.model_copy(update={"seed": secrets.randbelow(SEED_LIMIT + 1)})
    order = Order(wish, settings, Home.of(settings), catalog, request, target, files)
    try:
        resolved = catalog.resolve(request)
        words = PromptReview.load(order.home.blocked_words, use_bundled=settings.bundled_words)
        words.check(resolved)
    except BadRequest as error:
        if order.home.server() is not None:  # it may have other models and plugins: let it judge
            return replace(order, doubt=error)
        raise
    return replace(order, request=resolved)


def _picture(file: Path, option: str) -> bytes:
    """The content of a picture file that can be taken in. Raises :class:`BadRequest` that names the option."""
    from calotype.images.intake import UPLOAD_LIMIT, read_picture

    try:
        with file.open("rb") as opened:
            data = opened.read(UPLOAD_LIMIT + 1)  # whatever it is, no more than what would be too much
    except OSError as error:
        raise BadRequest.of(option, f"{str(file)!r} cannot be read: {error.strerror}") from None
    read_picture(data, option)
    return data


def options(sets: Sequence[str]) -> dict[str, dict[str, Any] | bool]:
    """``PLUGIN.PARAM=VALUE`` and ``PLUGIN=on`` as a request's options. Values are JSON where they can be, else text."""
    found: dict[str, dict[str, Any] | bool] = {}
    for text in sets:
        left, equals, value = text.partition("=")
        plugin, dot, parameter = left.partition(".")
        switch = {"on": True, "true": True, "off": False, "false": False}.get(value.lower())
        if not equals or not plugin or (dot and not parameter) or (not dot and switch is None):
            raise BadRequest.of("set", f"{text!r} is neither PLUGIN.PARAM=VALUE nor PLUGIN=on or PLUGIN=off")
        before = found.get(plugin)
        if not dot:
            assert switch is not None
            found[plugin] = before if switch and isinstance(before, dict) else switch
        else:
            found[plugin] = {**(before if isinstance(before, dict) else {}), parameter: _value(value)}
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _is_folder(model: str) -> bool:
    """A path by its look, or by what is there: a plain word that is no folder is a wrong name, not a wrong path."""
    return os.sep in model or model.startswith((".", "~")) or Path(model).is_dir()


async def _produce(order: Order) -> tuple[dict[str, Any], list[Path], list[str]]:
    from calotype.cli_progress import ProgressLine
    from calotype.darkroom import follow, open_darkroom

    task = asyncio.current_task()
    assert task is not None
    with suppress(NotImplementedError):  # Windows has no such signal; for Ctrl-C asyncio.run does the same
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    opening = open_darkroom(order.settings, order.home, order.catalog, order.request, order.doubt)
    with ProgressLine(quiet=order.wish.as_json) as line:
        async with opening as room, _submitted(room, await _request(room, order)) as job_id:
            async with aclosing(follow(room, job_id, line.warn)) as events:
                async for event in events:
                    _must_go_on(event)
                    line.show(event, loading=room.loading)
            job = await room.job(job_id)
            paths = order.target.paths(job["request"]["prompt"], job["request"]["seed"], len(job["pictures"]))
            for path, picture in zip(paths, job["pictures"], strict=True):
                write(path, await room.picture(job_id, picture["index"], picture["sha256"]))
    return job, paths, line.noted


async def _request(room: Darkroom, order: Order) -> Request:
    """The request, with the names under which its pictures were taken in."""
    return order.request.model_copy(update={name: await room.take_in(data) for name, data in order.files.items()})


@asynccontextmanager
async def _submitted(room: Darkroom, request: Request) -> AsyncIterator[str]:
    """The id of the queued job. Nobody will fetch the pictures of a command that ended: its job ends with it."""
    from calotype.darkroom import ServerGone

    submitting = asyncio.ensure_future(room.submit(request))
    try:
        job_id: str = (await asyncio.shield(submitting))["job_id"]
        yield job_id
    except (asyncio.CancelledError, CalotypeError) as error:
        await asyncio.wait({submitting})
        if submitting.exception() is None and not isinstance(error, JobFailed | ServerGone):
            await room.cancel(submitting.result()["job_id"])
        raise


def _must_go_on(event: Event) -> None:
    match event:
        case Failed(reason=reason):
            raise JobFailed(f"job: it failed: {reason}")
        case Cancelled():
            raise JobFailed("job: it was cancelled by somebody else")


def _report(wish: Wish, job: Mapping[str, Any], files: Sequence[Path], noted: Sequence[str]) -> None:
    total = time.monotonic() - wish.begun
    if wish.as_json:
        typer.echo(json.dumps(report(job, files, total)))
        return
    for path, picture in zip(files, job["pictures"], strict=True):
        typer.echo(f"{path}  {picture['width']}x{picture['height']}  seed {picture['seed']}")
    notes = dict.fromkeys(note for picture in job["pictures"] for note in picture["notes"])
    for note in notes:
        if note not in noted:  # those were told while the pictures were made
            typer.echo(f"note: {note}", err=True)


def report(job: Mapping[str, Any], files: Sequence[Path], total_s: float) -> dict[str, Any]:
    """What ``--json`` prints. Times in seconds; ``file`` and ``sha256`` are the first picture's."""
    created, started, finished = (_time(job[name]) for name in ("created", "started", "finished"))
    pictures = [{**picture, "file": str(path)} for path, picture in zip(files, job["pictures"], strict=True)]
    timings = {
        "queued_s": (started - created).total_seconds() if created and started else None,
        "run_s": (finished - started).total_seconds() if started and finished else None,
        "total_s": round(total_s, 3),
    }
    return {
        "job_id": job["job_id"],
        "seed": job["request"]["seed"],
        "seeds": [picture["seed"] for picture in pictures],
        "timings": {**job["record"].get("timings", {}), **timings},
        "file": pictures[0]["file"],
        "files": [picture["file"] for picture in pictures],
        "sha256": pictures[0]["sha256"],
        "pictures": pictures,
        "request": job["request"],
        "record": job["record"],
    }


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
