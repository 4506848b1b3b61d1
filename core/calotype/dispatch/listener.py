"""The dispatcher's ear, called from the host's threads: what is only told goes to the bus, the rest is recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from calotype.bus import Bus
from calotype.engine.assignment import Assignment, Rendered
from calotype.events import Paused, Preview, Started, Stepped


class Listener:
    """Implements :class:`calotype.engine.assignment.HostListener`."""

    def __init__(
        self,
        bus: Bus,
        rendered: Callable[[Assignment, Sequence[Rendered], Mapping[str, Any]], None],
        failed: Callable[[Assignment, str], None],
        denoised: Callable[[str], None],
    ) -> None:
        """``rendered`` and ``failed`` write down how a job ended; they may take their time.

        ``denoised`` hears of a job whose steps are all done.
        """
        self._bus, self.rendered, self.failed, self._denoised = bus, rendered, failed, denoised

    def started(self, job_id: str, notes: tuple[str, ...]) -> None:
        """See :class:`HostListener`."""
        self._bus.publish(Started(job_id, notes))

    def stepped(self, job_id: str, step: int, steps: int, preview: Preview | None) -> None:
        """See :class:`HostListener`."""
        if step >= steps:
            self._denoised(job_id)
        self._bus.publish(Stepped(job_id, step, steps, preview))

    def paused(self, job_id: str) -> None:
        """See :class:`HostListener`."""
        self._bus.publish(Paused(job_id))

    def resumed(self, job_id: str) -> None:
        """See :class:`HostListener`."""
        self._bus.publish(self._bus.started(job_id))  # as at the start, which every client knows

    def wants_preview(self, job_id: str) -> bool:
        """See :class:`HostListener`."""
        return self._bus.is_watched(job_id)
