"""What may be asked for by its words alone: the bundled list, the operator's file, and words added while it runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from calotype.errors import BadRequest
from calotype.moderation.bundled import bundled
from calotype.moderation.words import WordList, read_words, readings
from calotype.request import Request

NOT_ALLOWED: Final = "holds a word that this service does not allow; please reword it"
UNLAWFUL: Final = "asks for something that no service may make; please ask for something else"


@dataclass(frozen=True)
class Hit:
    """What a prompt was refused for: ``message`` for its person, ``rule`` for the operator."""

    message: str
    rule: str

    def error(self) -> BadRequest:
        """As it is raised. The word itself is not repeated."""
        return BadRequest.of("prompt", self.message)


class PromptReview:
    """Refuses prompts that hold a blocked word or phrase, whatever its case, accents or spacing.

    Negative prompts may hold any: they say what a picture is to be kept free of, and nothing is drawn for them.
    """

    def __init__(self, blocked: Iterable[str] = (), *, use_bundled: bool = True) -> None:
        self.blocked = tuple(blocked)
        self._words = WordList(self.blocked)
        self._bundled = bundled() if use_bundled else None

    @classmethod
    def load(cls, path: Path, *, use_bundled: bool = True) -> PromptReview:
        """With a text file of words: one word or phrase a line, ``#`` begins a comment. No file adds nothing."""
        return cls(read_words(path), use_bundled=use_bundled)

    def with_more(self, blocked: Iterable[str]) -> PromptReview:
        """The same with more words."""
        return PromptReview([*self.blocked, *blocked], use_bundled=self._bundled is not None)

    def find(self, request: Request) -> Hit | None:
        """What the request is refused for, None if for nothing."""
        if self._bundled is not None and (rule := self._bundled.find(request)) is not None:
            return Hit(UNLAWFUL, rule)
        for text in readings(request.prompt):
            if (word := self._words.find(text)) is not None:
                return Hit(NOT_ALLOWED, f"blocked word: {word}")
        return None

    def check(self, request: Request) -> None:
        """Raise :class:`BadRequest` for a blocked prompt."""
        if (hit := self.find(request)) is not None:
            raise hit.error()
