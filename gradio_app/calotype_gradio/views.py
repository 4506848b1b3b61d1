"""What the page shows, as HTML. Every word that is not ours is escaped."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from calotype.catalog import Catalog
from calotype.checkpoint import EMBEDDED, ModelInfo
from calotype.job import Job, JobStatus, Picture
from calotype.request import Request

HEADER: Final = (
    '<header class="ct-header"><h1>Calotype</h1>'
    "<p>Write what you would like to see. It develops while you watch.</p></header>"
)
_MESSAGE_LIMIT: Final = 400
_SMALL: Final = 256
"""Pixels of a picture that is shown at twice its size."""
EMPTY: Final = '<div class="ct-stage ct-empty"><p>Your picture develops here.</p></div>'
WELCOME: Final = "Write a prompt, then press Run or Enter."
LOADING: Final = "The model is loading; your picture starts by itself."
BROKEN: Final = (
    "This service cannot paint now: its model could not be loaded. Whoever runs it finds the reason in its log."
)
KEPT: Final = f"{BROKEN} Your request is kept and starts by itself as soon as it can."


def status(text: str, kind: str = "info") -> str:
    """The line under the prompt: what is happening now."""
    return f'<p class="ct-status ct-{kind}" role="status">{escape(text)}</p>'


def problems(found: Iterable[tuple[str, str]]) -> str:
    """The same line when something has to be changed: each field and what would be right."""
    lines = "".join(f"<li><strong>{escape(name)}</strong> {escape(_short(message))}</li>" for name, message in found)
    return f'<ul class="ct-status ct-problem" role="alert">{lines}</ul>'


def _short(message: str) -> str:
    """A wrong value may be a number of a thousand digits, and the message holds it."""
    return message if len(message) <= _MESSAGE_LIMIT else f"{message[:_MESSAGE_LIMIT]} …"


def notice(text: str) -> str:
    """The line above everything, about the service as a whole; nothing if all is well."""
    return f'<p class="ct-notice" role="status">{escape(text)}</p>' if text else ""


def hint(model: ModelInfo) -> str:
    """What the chosen model is good for, as far as we know it."""
    if model.folder != EMBEDDED.resolve():
        return ""
    things = f"{len(model.vocabulary.concepts)} things" if model.vocabulary is not None else "a few things"
    text = f"A small emoji model is at work: {things} (animals, food, vehicles …), in a few simple words."
    return f'<p class="ct-hint">{text}</p>'


def position(ahead: int, about: str = "") -> str:
    """How many are served before; ``about`` is how long that will take, as :attr:`Queued.about` has it."""
    if ahead == 0:
        return f"Yours is next{about}."
    return f"{ahead} job{'s' if ahead > 1 else ''} before yours{about}."


def developing(preview: bytes | None, step: int, steps: int, notes: Sequence[str] = ()) -> str:
    """The picture so far, and what is noted already. It is as large as the finished picture, so that nothing jumps."""
    image = ""
    if preview is not None:
        image = (
            f'<img class="ct-preview" alt="preview" src="data:image/jpeg;base64,{base64.b64encode(preview).decode()}">'
        )
    share = f'<progress max="{max(steps, 1)}" value="{step}"></progress>' if steps else "<progress></progress>"
    print_ = f'<div class="ct-print">{image}</div>'
    return f'<div class="ct-stage ct-developing">{print_}{share}{_notes(notes)}</div>'


def pictures(job: Job) -> str:
    """The finished pictures, each a link to the file itself."""
    several = [picture.notes for picture in job.pictures] if len(job.pictures) > 1 else [()]
    common = [note for note in several[0] if all(note in notes for notes in several)]
    prints = "".join(_print(picture, job.request.prompt, common) for picture in job.pictures)
    return f'<div class="ct-stage ct-finished" data-count="{len(job.pictures)}">{prints}{_notes(common)}</div>'


def used(job: Job, catalog: Catalog) -> str:
    """One line with all that is needed to make it again, and how long it took."""
    return f'<p class="ct-used">{escape(" · ".join([*_settings(job, catalog), *_times(job)]))}</p>'


def earlier(jobs: Sequence[Job], shown: str | None = None) -> str:
    """The visitor's earlier pictures, newest first, without the job that is shown already."""
    cards = "".join(
        _card(picture, job)
        for job in jobs
        if job.status is JobStatus.FINISHED and job.id != shown
        for picture in job.pictures
    )
    return f'<section class="ct-earlier"><h2>Earlier</h2><div>{cards}</div></section>' if cards else ""


def _address(picture: Picture) -> str:
    return f"page/pictures/{picture.sha256}.png?seed={picture.seed}"  # relative: the page may lie under a prefix


def _print(picture: Picture, prompt: str, common: Sequence[str]) -> str:
    """One picture with its own notes; ``common`` ones are said once for all."""
    url, notes = _address(picture), _notes([note for note in picture.notes if note not in common])
    crisp = ' class="ct-crisp"' if picture.width <= _SMALL else ""
    return (
        f'<figure><a class="ct-print" href="{url}" target="_blank" rel="noopener" title="open the file">'
        f'<img src="{url}" alt="{escape(prompt)}" width="{picture.width}" height="{picture.height}"{crisp}></a>'
        f"<figcaption><span>seed <code>{picture.seed}</code></span>"
        f'<a href="{url}" download="calotype-{picture.seed}.png">Download</a>{notes}</figcaption></figure>'
    )


def _notes(notes: Sequence[str]) -> str:
    return "".join(f"<small>{escape(note)}</small>" for note in notes)


def _card(picture: Picture, job: Job) -> str:
    url, prompt = _address(picture), escape(job.request.prompt)
    return (
        f'<figure><a href="{url}" target="_blank" rel="noopener" title="{prompt}">'
        f'<img src="{url}" alt="{prompt}" width="{picture.width}" height="{picture.height}" loading="lazy"></a>'
        f"<figcaption><span>{prompt}</span><code>{picture.seed}</code></figcaption></figure>"
    )


def _settings(job: Job, catalog: Catalog) -> list[str]:
    request = job.request
    registry = catalog.registry
    model = catalog.models.get(request.model or "")
    sampler, schedule = registry.samplers.get(request.sampler or ""), registry.schedules.get(request.schedule or "")
    size = f"{job.pictures[0].width} × {job.pictures[0].height}" if job.pictures else ""
    said = [
        model.title if model else request.model,
        (sampler.label if sampler else request.sampler or "") + _parameters(request, request.sampler),
        (schedule.label if schedule else request.schedule or "") + _parameters(request, request.schedule),
        _steps(request),
        f"guidance {request.guidance:g}",
        size,
        *(
            plugin.label + _parameters(request, name)
            for name, plugin in registry.postprocessors.items()
            if request.options.get(name, False) is not False
        ),
        f"not: {request.negative_prompt}" if request.negative_prompt else "",
        f"seed {request.seed}",
    ]
    return [part for part in said if part]


def _steps(request: Request) -> str:
    if request.init_image is None:
        return f"{request.steps} steps"
    return f"from a picture, {request.steps_done} of {request.steps} steps (strength {request.strength:g})"


def _parameters(request: Request, name: str | None) -> str:
    given = request.options.get(name or "")
    if not isinstance(given, dict) or not given:
        return ""
    return " (" + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in given.items()) + ")"


def _times(job: Job) -> list[str]:
    if job.finished is None or job.started is None:
        return []
    worked, waited = job.finished - job.started, job.started - job.created
    said = [f"took {max(worked.total_seconds(), 0):.1f} s"]
    return [*said, f"waited {waited.total_seconds():.1f} s"] if waited.total_seconds() >= 0.5 else said
