"""Keys that make repeating a request safe: the same key of the same person is the same job.

Front ends make keys of events of their own, which are never two requests. A client that chooses one may by mistake
choose it twice: then it must not be given another request's job.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from calotype import texts
from calotype.errors import BadRequest
from calotype.job import Job
from calotype.request import Request

KEY_LIMIT: Final = 200
"""Characters."""


@dataclass(frozen=True)
class ClientKey:
    """A key that a client has chosen. ``field`` is where it was given. Raises :class:`BadRequest`."""

    text: str
    field: str = "key"

    def __post_init__(self) -> None:
        if not 1 <= len(self.text) <= KEY_LIMIT:
            raise BadRequest.of(self.field, f"has {len(self.text)} characters; give 1 to {KEY_LIMIT}, or leave it out")
        texts.check(self.field, self.text)

    def check(self, job: Job, asked: Request, resolved: Request, parent: str | None) -> None:
        """Raises :class:`BadRequest` unless the job that was found by the key is what is asked for now.

        ``resolved`` is ``asked`` with nothing left open. A seed that was left open was drawn for the job.
        """
        open_seed = {"seed": job.request.seed} if asked.seed is None else {}
        if (job.request, job.parent) != (resolved.model_copy(update=open_seed), parent):
            message = f"was used before, for another request (job {job.id}); take a new one"
            raise BadRequest.of(self.field, message)
