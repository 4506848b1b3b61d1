"""Asks plugins whether a finished picture may be given out. On the finishing thread, which the watchdog looks after."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from calotype.engine.assignment import Assignment
from calotype.engine.watchdog import Abandoned, account, calling
from calotype.review import UNREVIEWED, Refusal, ReviewInfo, verdict

if TYPE_CHECKING:
    from PIL.Image import Image

KIND = "review"
"""Of a call, as the watchdog knows it."""
log = logging.getLogger(__name__)


class Reviewed(NamedTuple):
    """What came of it: the first refusal and whose it is, and notes on reviews that were left out."""

    refusal: Refusal | None = None
    plugin: str = ""
    notes: tuple[str, ...] = ()


def call_name(plugin: str) -> str:
    """How the call of its review is named: no post-processor can be called so."""
    return f"by plugin {plugin}"


def left_out(plugin: str, why: str) -> str:
    """The note of a picture that was given out without that review."""
    return f"the review by {plugin} was skipped: {why}"


def review(assignment: Assignment, image: Image, skip: Mapping[str, str]) -> Reviewed:
    """Ask every plugin. ``skip`` names calls (:func:`call_name`) that hung before, and says why they are not made.

    Where reviews fail closed, one that raises, hung or answers nonsense refuses; else it is left out, with a note.
    """
    info = ReviewInfo(assignment.person, assignment.request.prompt, assignment.job_id)
    notes: tuple[str, ...] = ()
    for plugin, look in assignment.reviews.of_pictures():
        name, refusal = call_name(plugin), None
        why = skip.get(name)
        if why is None:
            with calling(assignment, KIND, name):
                try:
                    refusal = verdict(look(image.copy(), info))
                except Abandoned:  # it came back too late: another thread has the picture
                    raise
                except BaseException as error:  # noqa: BLE001 - a plugin may raise anything
                    where = account(error)  # inside the call, and before the log's lock is taken
                    told = "job %s: the review by plugin %s failed\n%s"
                    log.error(told, assignment.job_id, plugin, where)  # noqa: TRY400 - the traceback is `where`
                    why = "it failed"
        if why is not None and assignment.reviews.fail_closed:
            refusal = Refusal(UNREVIEWED, f"{why}; see the log")
        elif why is not None:
            notes = (*notes, left_out(plugin, why))
        if refusal is not None:
            return Reviewed(refusal, plugin, notes)
    return Reviewed(notes=notes)
