"""Errors that a person reads: every message names the field, its limit and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


class CalotypeError(Exception):
    """Base of every error whose text is meant to be shown. The text is one line."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a request: which field, and what would be right."""

    field: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


class BadRequest(CalotypeError):
    """The request breaks a limit. Nothing was written. Carries every problem found, not only the first."""

    def __init__(self, *problems: Problem) -> None:
        self.problems: Sequence[Problem] = problems
        super().__init__("; ".join(str(problem) for problem in problems))

    @classmethod
    def of(cls, field: str, message: str) -> BadRequest:
        """The common case: one field, one message."""
        return cls(Problem(field, message))


class SetupError(CalotypeError):
    """The operator's machine or settings are not right (folder, database, port, plugin). Exit code 2."""


class ModelError(CalotypeError):
    """A model folder is missing, incomplete, damaged or of a family that is not supported."""


class DatabaseError(SetupError):
    """The database cannot be opened, is damaged, or was written by a newer program."""


class UnknownJob(CalotypeError):
    """No such job, or not this person's: the two are not told apart, on purpose."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job: {job_id!r} is not one of your jobs")


class NotAllowed(CalotypeError):
    """The person may not do this."""


class LimitReached(NotAllowed):
    """A cap or budget is used up. The text names it, and says when there is more or what to do."""


class Busy(CalotypeError):
    """The request is right, but as many of its kind are under way as can be."""


class SamplerMisbehaved(CalotypeError):
    """A sampler broke its contract (wrong shape, not a Query, too many calls, NaN). The job fails, no other does."""


OPERATORS: Final = (SetupError, ModelError)
"""Errors that only the operator can mend. Their text may name files and servers: nobody else reads it."""


def for_visitors(error: BaseException) -> bool:
    """Whether anybody may read what the error says; what else there is stands in the log."""
    return isinstance(error, CalotypeError) and not isinstance(error, OPERATORS)


YOURS: Final = (BadRequest, SetupError, ModelError, NotAllowed)
"""Errors that the person at the terminal can mend: exit code 2."""
