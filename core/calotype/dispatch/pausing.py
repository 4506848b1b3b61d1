"""Which residents are paused, and how many may be.

A paused job keeps its place among the residents (its latents stay in memory) and gives up its slot. So that nobody can
fill the places with paused jobs: two for each person, and half of all places for everybody together.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from calotype.engine.assignment import Assignment
from calotype.errors import BadRequest

EACH: Final = 2
"""Jobs of one person that may be paused at a time."""
NOT_RUNNING: Final = "it has not begun yet, or its steps are done; only a job that runs can be paused"


class Pauses:
    """Ids of paused jobs. Not thread-safe: for use under the dispatcher's lock."""

    def __init__(self, residents: int) -> None:
        """``residents`` is how many jobs an engine may hold."""
        self._most = residents // 2
        self._paused: set[str] = set()

    def __contains__(self, job_id: str) -> bool:
        return job_id in self._paused

    def add(self, job_id: str, residents: Mapping[str, Assignment]) -> bool:
        """Pause one of the residents; False if it is paused already.

        Raises :class:`BadRequest` if it is not there, or too many are paused.
        """
        if job_id not in residents:
            raise BadRequest.of("job", NOT_RUNNING)
        if job_id in self._paused:
            return False
        person = residents[job_id].person
        theirs = sum(1 for paused in self._paused if residents[paused].person == person)
        if theirs >= EACH:
            raise BadRequest.of(
                "job", f"{theirs} jobs of this person are paused, the most there may be; resume one first"
            )
        if self._most == 0:
            told = "none can be paused: this service holds one job at a time (the operator's CALOTYPE_RESIDENTS)"
            raise BadRequest.of("job", told)
        if len(self._paused) >= self._most:
            raise BadRequest.of("job", f"{self._most} jobs are paused here, the most there may be; try again later")
        self._paused.add(job_id)
        return True

    def discard(self, job_id: str) -> bool:
        """It is paused no more; whether it was."""
        if job_id not in self._paused:
            return False
        self._paused.remove(job_id)
        return True

    def running(self, residents: Collection[str]) -> int:
        """How many of the residents take part."""
        return len(residents) - len(self._paused)
