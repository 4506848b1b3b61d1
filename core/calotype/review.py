"""What a review is: a plugin's look at a prompt before it is accepted, or at a picture before anybody gets it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from PIL.Image import Image

    from calotype.person import Person
    from calotype.request import Request

MESSAGE_LIMIT: Final = 300
"""Characters of what a refusal tells the person."""
UNREVIEWED: Final = "could not be reviewed; try again later"
"""What a person is told, where what cannot be reviewed is refused."""


@dataclass(frozen=True)
class Refusal:
    """Why something is not taken or not given out."""

    message: str
    """For the person: what is wrong and what to do, one line of at most 300 characters."""
    reason: str = ""
    """For the operator alone, in the audit: which rule, which score."""

    def __post_init__(self) -> None:
        if not isinstance(self.message, str) or not isinstance(self.reason, str):
            raise TypeError("a Refusal's message and reason are text")
        if not self.message.strip():
            raise ValueError("a Refusal needs a message: the person is told nothing else")
        for name in ("message", "reason"):
            line = " ".join(getattr(self, name).split())
            object.__setattr__(self, name, line if len(line) <= MESSAGE_LIMIT else f"{line[: MESSAGE_LIMIT - 1]}…")


@dataclass(frozen=True)
class ReviewInfo:
    """What is known of a picture under review."""

    person: str
    """Key of who asked for it or brought it, e.g. ``web:…``."""
    prompt: str | None
    """What it was made from. None: it was not made here but brought, to start from."""
    job_id: str | None = None
    """The job that made it."""


@dataclass(frozen=True)
class Reviewer:
    """One plugin's reviews. Either may be missing."""

    plugin: str
    prompt: Callable[[Request, Person], object] | None = None
    picture: Callable[[Image, ReviewInfo], object] | None = None

    @property
    def hooks(self) -> tuple[str, ...]:
        """What it looks at: ``prompts``, ``pictures``."""
        looks = {"prompts": self.prompt, "pictures": self.picture}
        return tuple(name for name, look in looks.items() if look is not None)


@dataclass(frozen=True)
class Reviews:
    """Every plugin's reviews, in the order in which they are asked: the first refusal stands."""

    reviewers: tuple[Reviewer, ...] = ()
    fail_closed: bool = False
    """Whether what a review cannot judge (raises, hangs, answers nonsense) is refused; else that review is skipped."""

    def of_prompts(self) -> Iterator[tuple[str, Callable[[Request, Person], object]]]:
        """Plugin and hook of those that look at prompts."""
        return ((each.plugin, each.prompt) for each in self.reviewers if each.prompt is not None)

    def of_pictures(self) -> Iterator[tuple[str, Callable[[Image, ReviewInfo], object]]]:
        """Plugin and hook of those that look at pictures."""
        return ((each.plugin, each.picture) for each in self.reviewers if each.picture is not None)


def verdict(answer: object) -> Refusal | None:
    """A review's answer, if it is one. Raises TypeError."""
    if answer is None or isinstance(answer, Refusal):
        return answer
    raise TypeError(f"it returned {type(answer).__name__}; None lets it pass, a calotype.Refusal does not")
