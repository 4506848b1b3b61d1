"""What happens to a job, as everyone who watches sees it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from calotype.job import Picture

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


@dataclass(frozen=True, eq=False)
class Preview:
    """A rough look at the picture so far: (H, W, 3) uint8, one pixel a latent. Drawn only if somebody looks."""

    rgb: np.ndarray

    def image(self, width: int = 256) -> Image:
        """As a picture ``width`` pixels wide, smoothly enlarged."""
        from PIL import Image

        height = round(width * self.rgb.shape[0] / self.rgb.shape[1])
        return Image.fromarray(self.rgb, "RGB").resize((width, height), Image.Resampling.BICUBIC)

    def jpeg(self, width: int = 256) -> bytes:
        """As a small JPEG file."""
        buffer = io.BytesIO()
        self.image(width).save(buffer, "JPEG", quality=80)
        return buffer.getvalue()


def about(seconds: float) -> str:
    """A time that is only estimated, in words no more precise than it is."""
    if seconds < 7.5:
        return "5 s"
    if seconds < 57.5:
        return f"{round(seconds / 5) * 5} s"
    if seconds < 90 * 60:
        return f"{max(1, round(seconds / 60))} min"
    return f"{round(seconds / 3600)} h"


@dataclass(frozen=True)
class Queued:
    """Accepted and written down. ``position`` jobs are served before this one."""

    job_id: str
    position: int
    eta_seconds: float | None = None
    """About how long until its turn comes. None: the service has measured nothing yet."""

    @property
    def about(self) -> str:
        """That time in words, with a comma before them; nothing if it is not known."""
        return "" if self.eta_seconds is None else f", about {about(self.eta_seconds)}"


@dataclass(frozen=True)
class Started:
    """An engine has it. ``notes`` is what can be said before the pictures are there; they will carry it too."""

    job_id: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stepped:
    """A step was done. ``step`` of ``steps`` over all pictures of the request. Only the latest is kept."""

    job_id: str
    step: int
    steps: int
    preview: Preview | None = None


@dataclass(frozen=True)
class Paused:
    """It stands where it is until it is resumed; :class:`Started` is then told once more."""

    job_id: str


@dataclass(frozen=True)
class Finished:
    """The pictures are stored and the result is in the ledger."""

    job_id: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Failed:
    """It will not be tried again. ``reason`` is for the person who asked."""

    job_id: str
    reason: str


@dataclass(frozen=True)
class Cancelled:
    """Its person, or an operator, called it off."""

    job_id: str


Event: TypeAlias = Queued | Started | Stepped | Paused | Finished | Failed | Cancelled
FINAL = (Finished, Failed, Cancelled)


async def or_nothing(events: AsyncIterator[Event], seconds: float) -> AsyncGenerator[Event | None, None]:
    """The events, and None whenever none has come for so long. Nothing is lost while it waits; close it when done."""
    coming: asyncio.Future[Event] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(events))
            done, _ = await asyncio.wait({coming}, timeout=seconds)
            if not done:
                yield None
                continue
            try:
                event = coming.result()
            except StopAsyncIteration:
                return
            coming = None
            yield event
    finally:
        if coming is not None and coming.cancel():
            await asyncio.wait({coming})
