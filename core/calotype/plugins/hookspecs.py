"""Every hook a plugin can answer. A plugin is a module; it answers with ``@calotype.hookimpl`` functions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from PIL.Image import Image

    from calotype.person import Person
    from calotype.postprocess import PostProcessor
    from calotype.request import Request
    from calotype.review import Refusal, ReviewInfo
    from calotype.sampling import Sampler, Schedule

hookspec = pluggy.HookspecMarker("calotype")
hookimpl = pluggy.HookimplMarker("calotype")


@hookspec
def calotype_samplers() -> Iterable[Sampler]:
    """Samplers this plugin adds. Called once at start; must be quick and must not import torch."""
    raise NotImplementedError


@hookspec
def calotype_schedules() -> Iterable[Schedule]:
    """Schedules this plugin adds. Called once at start; must be quick and must not import torch."""
    raise NotImplementedError


@hookspec
def calotype_postprocessors() -> Iterable[PostProcessor]:
    """Post-processors this plugin adds. Called once at start; must be quick and must not import torch."""
    raise NotImplementedError


@hookspec(firstresult=True)
def calotype_review_prompt(request: Request, person: Person) -> Refusal | None:
    """Whether a request may be made. Called for each, before anything is written; may block for a few seconds.

    ``request`` is resolved. None lets it pass. It is called in a thread of its own, for several people at once.
    """
    raise NotImplementedError


@hookspec(firstresult=True)
def calotype_review_picture(image: Image, info: ReviewInfo) -> Refusal | None:
    """Whether a picture may be given out, or taken in. Called for each, before anything is stored.

    ``image`` is RGB, as its person would see it: after every post-processor. None lets it pass.
    """
    raise NotImplementedError
