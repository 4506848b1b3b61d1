"""Moderation: every prompt, every picture that is brought and every picture that is made passes here.

What is refused leaves a row in the audit and nothing else. The order: words, blocked hashes, plugins' reviews; for a
picture that was made, the plugins come first, since they run beside the engine (:mod:`calotype.engine.reviewing`).
"""

from __future__ import annotations

import asyncio
import io
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from calotype.errors import BadRequest
from calotype.ledger.blocked import Refused
from calotype.moderation.bounded import Bounded, Unanswered
from calotype.moderation.hashing import NEAR, distance, perceptual_hash
from calotype.moderation.prompts import PromptReview
from calotype.review import UNREVIEWED, Refusal, ReviewInfo, Reviews

if TYPE_CHECKING:
    from PIL.Image import Image

    from calotype.engine.assignment import Assignment, Rendered
    from calotype.ledger.blocked import Blocked
    from calotype.person import Person
    from calotype.request import Request

REFRESH: Final = 2.0
"""Seconds after which what other processes have blocked is read again, at the next prompt or picture."""
AUDITED: Final = 100
"""Refused prompts and uploads that are written down in a minute; of a flood of them the rest is only counted."""
BLOCKED: Final = "is too much like one that this service does not allow"
log = logging.getLogger(__name__)


class Screened(NamedTuple):
    """Pictures of a job that may be given out, what the others were refused for, and what its person is told of it."""

    kept: Sequence[Rendered]
    refused: Sequence[Refused]
    reason: str
    """Empty if none was refused."""


@dataclass(frozen=True)
class Limits:
    """Seconds that a plugin's review may take."""

    prompt: float = 10.0
    picture: float = 60.0


class Moderation:
    """The reviews of one process. Thread-safe."""

    def __init__(self, blocked: Blocked, words: PromptReview, reviews: Reviews, limits: Limits) -> None:
        """``words`` are those of the bundled list and the operator's file; what the database holds comes on top."""
        self._blocked, self._words, self._reviews, self._limits = blocked, words, reviews, limits
        self._bounded = Bounded()
        self._throttle = _Throttle(AUDITED)
        self._reading = threading.Lock()
        self._read_at = float("-inf")
        self._all = words
        self._hashes: tuple[str, ...] = ()

    def refresh(self, *, now: bool = True) -> None:
        """Read the operator's lists again; unless ``now``, only if that was a while ago. Blocks.

        Raises :class:`DatabaseError`.
        """
        with self._reading:
            if not now and self._fresh:
                return
            begun = time.monotonic()
            added = [word.phrase for word in self._blocked.words()]
            self._hashes = tuple(picture.hash for picture in self._blocked.pictures())
            self._all = self._words.with_more(added)
            self._read_at = begun

    @property
    def _fresh(self) -> bool:
        return time.monotonic() - self._read_at < REFRESH

    # prompts --------------------------------------------------------------------------------------------------

    async def check_prompt(self, request: Request, person: Person) -> None:
        """Raises :class:`BadRequest` for ``prompt`` if the request may not be made."""
        if not self._fresh:
            await asyncio.to_thread(self.refresh, now=False)
        if (hit := self._all.find(request)) is not None:
            await self._refuse_prompt(person, hit.message, {"rule": hit.rule})
        for plugin, look in self._reviews.of_prompts():
            try:
                refusal = await self._bounded.ask(plugin, partial(look, request, person), self._limits.prompt)
            except Unanswered as error:
                refusal = self._unanswered(plugin, f"a prompt of {person.key}", error)
            if refusal is not None:
                await self._refuse_prompt(person, refusal.message, {"rule": plugin, "reason": refusal.reason})

    async def _refuse_prompt(self, person: Person, message: str, details: dict[str, Any]) -> None:
        """The prompt itself is not written down anywhere."""
        await asyncio.to_thread(self._write, Refused(person.key, "refuse_prompt", person.key, details))
        raise BadRequest.of("prompt", message)

    # pictures that are brought --------------------------------------------------------------------------------

    def check_upload(self, image: Image, person: Person) -> None:
        """Raises :class:`BadRequest` for ``picture`` if it may not be taken in. Blocks."""
        self.refresh(now=False)
        if (near := self._near(image)) is not None:
            self._refuse_upload(person, BLOCKED, {"rule": "blocked picture", "hash": near})
        info = ReviewInfo(person.key, None)
        for plugin, look in self._reviews.of_pictures():
            try:
                refusal = self._bounded.ask_here(plugin, partial(look, image.copy(), info), self._limits.picture)
            except Unanswered as error:
                refusal = self._unanswered(plugin, f"a picture brought by {person.key}", error)
            if refusal is not None:
                self._refuse_upload(person, refusal.message, {"rule": plugin, "reason": refusal.reason})

    def _refuse_upload(self, person: Person, message: str, details: dict[str, Any]) -> None:
        self._write(Refused(person.key, "refuse_upload", person.key, details))
        raise BadRequest.of("picture", message)

    def _unanswered(self, plugin: str, what: str, error: Unanswered) -> Refusal | None:
        closed = self._reviews.fail_closed
        then = "it is refused" if closed else "it passes without that review"
        log.error("%s could not be reviewed by plugin %s; %s: %s", what, plugin, then, error)
        return Refusal(UNREVIEWED, "the review failed; see the log") if closed else None

    # pictures that are made -----------------------------------------------------------------------------------

    def screen(self, assignment: Assignment, pictures: Sequence[Rendered]) -> Screened:
        """Which pictures of a job may be given out. Blocks. Raises :class:`DatabaseError`."""
        self.refresh(now=False)
        kept: list[Rendered] = []
        refused: list[Refused] = []
        messages: dict[str, None] = {}
        for picture in pictures:
            found = self._refusal(picture)
            if found is None:
                kept.append(picture)
                continue
            message, details = found
            messages[message] = None
            details = {**details, "index": picture.index, "seed": picture.seed}
            refused.append(Refused(assignment.person, "refuse_picture", assignment.job_id, details))
        return Screened(kept, refused, _told(list(messages), len(refused), len(pictures)))

    def _refusal(self, picture: Rendered) -> tuple[str, dict[str, Any]] | None:
        if picture.refusal is not None:
            return picture.refusal.message, {"rule": picture.refused_by, "reason": picture.refusal.reason}
        if self._hashes and (near := self._near(_opened(picture.png))) is not None:
            return BLOCKED, {"rule": "blocked picture", "hash": near}
        return None

    def _near(self, image: Image) -> str | None:
        """The blocked hash that the picture comes too near to, the nearest of several."""
        hashes = self._hashes
        own = perceptual_hash(image) if hashes else None
        if own is None:
            return None
        nearest = min(hashes, key=partial(distance, own))
        return nearest if distance(own, nearest) <= NEAR else None

    # the audit ------------------------------------------------------------------------------------------------

    def _write(self, refused: Refused) -> None:
        more = self._throttle.take()
        if more is None:
            log.warning("%s of %s is not written down: over %d a minute", refused.action, refused.actor, AUDITED)
            return
        details = {**refused.details, **({"unrecorded_before": more} if more else {})}
        self._blocked.refused(Refused(refused.actor, refused.action, refused.subject, details))


class _Throttle:
    """So many a minute."""

    def __init__(self, a_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._clock = a_minute, clock
        self._lock = threading.Lock()
        self._since, self._taken, self._dropped = clock(), 0, 0

    def take(self) -> int | None:
        """None if it is too many; else how many were too many since the last that was not."""
        with self._lock:
            if (now := self._clock()) - self._since >= 60:
                self._since, self._taken = now, 0
            if self._taken >= self._limit:
                self._dropped += 1
                return None
            self._taken += 1
            dropped, self._dropped = self._dropped, 0
            return dropped


def _told(messages: Sequence[str], refused: int, of: int) -> str:
    if not refused:
        return ""
    why = "; ".join(messages)
    if of == 1:
        return f"the picture was not given out: {why}"
    if refused == of:
        return f"none of the {of} pictures was given out: {why}"
    return f"{refused} of {of} pictures {'was' if refused == 1 else 'were'} not given out: {why}"


def _opened(png: bytes) -> Image:
    from PIL.PngImagePlugin import PngImageFile

    return PngImageFile(io.BytesIO(png))
