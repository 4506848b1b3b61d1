"""What the bot's messages look like (Components V2). Every word that is not ours is escaped."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import discord
from discord import ui

from calotype.job import Job, JobStatus
from calotype.studio import Studio
from calotype_bot.buttons import Press, row
from calotype_bot.files import Enclosure
from calotype_bot.text import cap, plain, visible

WAITING, RUNNING, DONE, WRONG, QUIET = 0x8A8F98, 0xD9A441, 0x3BA55D, 0xD05353, 0x8A8F98
_BAR: Final = 16
_NEGATIVE_SHOWN: Final = 200
_NOTES_SHOWN: Final = 3
_NOTES_LIMIT: Final = 300
"""Characters of all notes together, before they are escaped."""
_PREVIEW: Final = "preview.jpg"
_ALT_LIMIT: Final = 250


@dataclass(frozen=True)
class Look:
    """A message: its components and the files they show."""

    view: ui.LayoutView
    files: list[discord.File] = field(default_factory=list)

    def close(self) -> None:
        """Free the files' memory; a look is sent once."""
        for file in self.files:
            file.close()


def waiting(job: Job, position: int, ready: bool, problem: bool, about: str = "") -> Look:
    """In the queue, or for the model. ``about`` is how long it will take, as :attr:`Queued.about` has it."""
    if problem:
        text = "This service cannot paint right now. Your request is kept and starts by itself as soon as it can."
    elif not ready:
        text = "Loading the model; yours starts by itself."
    elif position == 0:
        text = f"Yours is next{about}."
    else:
        text = f"{position} {'job' if position == 1 else 'jobs'} before yours{about}."
    return _look(job, WAITING, [text], presses=[Press.CANCEL])


def running(job: Job, step: int, steps: int, preview: bytes | None, notes: Sequence[str] = ()) -> Look:
    """Under way, with what is noted already. No step done yet is step 0."""
    text = f"Developing · step {step} of {steps}\n{bar(step, steps)}" if steps else "Developing …"
    shown = [] if preview is None else [Enclosure(_PREVIEW, preview)]
    return _look(job, RUNNING, [text], shown, "the picture so far", _small(_noted(notes)), [Press.CANCEL])


def bar(step: int, steps: int) -> str:
    """How far it is, in text."""
    done = min(_BAR, _BAR * step // max(1, steps))
    return "▰" * done + "▱" * (_BAR - done)


def ended(job: Job, studio: Studio, pictures: Sequence[Enclosure] = (), missing: Sequence[str] = ()) -> Look:
    """How it came out, with all that is needed to make it again."""
    presses = [Press.REROLL, Press.VARY, Press.DELETE]
    if job.status is JobStatus.FAILED:
        why = f"This picture failed: {plain(job.error or 'the reason is not known', 400)}"
        return _look(job, WRONG, [why], presses=presses)
    if job.status is JobStatus.CANCELLED:
        return _look(job, QUIET, ["Cancelled."], presses=presses)
    said = [cap(" · ".join(settings(job, studio)), 600)]
    if job.request.negative_prompt:
        said.append(f"not: {plain(job.request.negative_prompt, _NEGATIVE_SHOWN)}")
    noted = list(dict.fromkeys([*(note for each in pictures for note in each.notes), *missing]))
    return _look(job, DONE, [], pictures, job.request.prompt, _small([*said, *_noted(noted)]), presses)


def _noted(notes: Sequence[str]) -> list[str]:
    said: list[str] = []
    left = _NOTES_LIMIT
    for note in notes[:_NOTES_SHOWN]:
        if left > 0:
            said.append(f"note: {plain(note, left)}")
            left -= len(note)
    return said


def _small(lines: Sequence[str]) -> str:
    return "\n".join(f"-# {line}" for line in lines)


def settings(job: Job, studio: Studio) -> list[str]:
    """Model, sampler, steps, guidance, seeds, seconds."""
    request, catalog = job.request, studio.catalog
    model = catalog.models.get(request.model or "")
    sampler = catalog.registry.samplers.get(request.sampler or "")
    seeds = [str(picture.seed) for picture in job.pictures]
    said = [
        plain(model.title if model else request.model or "", 80),
        plain(sampler.label if sampler else request.sampler or "", 60),
        f"{request.steps} steps"
        if request.init_image is None
        else f"from a picture, {request.steps_done} of {request.steps} steps (strength {request.strength:g})",
        f"guidance {request.guidance:g}",
        f"seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}",
    ]
    if job.finished and job.started:
        said.append(f"{max(0.0, (job.finished - job.started).total_seconds()):.1f} s")
    return said


def late(look: Look, name: str) -> Look:
    """The same in a message of its own, for somebody who asked a while ago. It names them and does not ping."""
    container = next(child for child in look.view.children if isinstance(child, ui.Container))
    first = next(child for child in container.children if isinstance(child, ui.TextDisplay))
    first.content = f"-# for {plain(name, 40)}, who asked a while ago\n{first.content}"
    return look


def moved() -> Look:
    """In place of a reply that could not be changed any more when its result was there."""
    return _of([ui.TextDisplay("-# This one took a while: its result is in a message further down.")], QUIET)


def _look(
    job: Job,
    colour: int,
    said: Sequence[str],
    pictures: Sequence[Enclosure] = (),
    alt: str = "",
    below: str = "",
    presses: Sequence[Press] = (),
) -> Look:
    items: list[ui.Item[Any]] = [ui.TextDisplay("\n".join([f"**{plain(job.request.prompt)}**", *said]))]
    if pictures:
        words = cap(visible(alt), _ALT_LIMIT)
        gallery = [discord.MediaGalleryItem(f"attachment://{each.name}", description=words) for each in pictures]
        items.append(ui.MediaGallery(*gallery))
    if below:
        items.append(ui.TextDisplay(below))
    if presses:
        items.append(row(presses, job))
    files = [discord.File(io.BytesIO(each.data), filename=each.name) for each in pictures]
    return _of(items, colour, files)


def _of(items: Sequence[ui.Item[Any]], colour: int, files: Sequence[discord.File] = ()) -> Look:
    view = ui.LayoutView(timeout=None)
    view.add_item(ui.Container(*items, accent_colour=colour))
    return Look(view, list(files))
