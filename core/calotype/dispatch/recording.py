"""Writes down how a job ended: its pictures are screened, stored, and recorded with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from calotype.engine.assignment import Assignment, Rendered
from calotype.events import Failed, Finished
from calotype.images.store import ImageStore
from calotype.job import Picture
from calotype.ledger import Ledger
from calotype.moderation.desk import Screened

Screen: TypeAlias = Callable[[Assignment, Sequence[Rendered]], Screened]


class Recorder:
    """Between an engine's pictures and the ledger. Everything here blocks, and may be tried again."""

    def __init__(self, ledger: Ledger, store: ImageStore, screen: Screen) -> None:
        self._ledger, self._store, self._screen = ledger, store, screen

    def record(
        self, assignment: Assignment, pictures: Sequence[Rendered], record: Mapping[str, Any]
    ) -> Finished | Failed | None:
        """What became of the job; None, and nothing recorded, if it is not ours any more.

        Of a refused picture nothing is stored. The others are given out and say so; if there are none the job fails.
        Raises :class:`SetupError` if database or disk refuse.
        """
        kept, refused, reason = self._screen(assignment, pictures)
        notes = (reason,) if reason else ()
        stored = tuple(self._stored(picture, notes) for picture in kept)
        job_id, epoch = assignment.job_id, assignment.epoch
        if refused:
            whole = {**record, "refused": [each.details["index"] for each in refused]}
            ended = self._ledger.blocked.finish(job_id, epoch, stored, whole, reason, refused)
        else:
            ended = self._ledger.finish(job_id, epoch, stored, record)
        if not ended:
            return None
        return Finished(job_id, stored) if stored else Failed(job_id, reason)

    def _stored(self, picture: Rendered, notes: tuple[str, ...]) -> Picture:
        sha256 = self._store.put(picture.png)
        return Picture(picture.index, picture.seed, sha256, picture.width, picture.height, (*picture.notes, *notes))
