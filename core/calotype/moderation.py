"""What may be asked for. The operator's list of blocked words is checked before anything is written."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from calotype.emphasis import plain
from calotype.errors import BadRequest, SetupError
from calotype.request import Request


class PromptReview:
    """Refuses prompts that hold a blocked word or phrase, whatever its case, accents or spacing."""

    def __init__(self, blocked: Iterable[str] = ()) -> None:
        phrases = [_folded(entry).split() for entry in blocked]
        words = [r"[\W_]+".join(map(re.escape, phrase)) for phrase in phrases if phrase]
        # a letter or digit beside it makes it another word; \b would never match beside 'c++' or a picture sign
        self._pattern = re.compile(rf"(?<![^\W_])(?:{'|'.join(words)})(?![^\W_])") if words else None

    @classmethod
    def load(cls, path: Path) -> PromptReview:
        """From a text file, one word or phrase a line, ``#`` begins a comment. No file blocks nothing."""
        try:
            lines = path.read_text("utf-8").splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return cls()
        except (OSError, ValueError) as error:
            # a list that cannot be read must not silently block nothing
            raise SetupError(f"{path}: the list of blocked words cannot be read: {error}") from None
        return cls(line.split("#", 1)[0].strip() for line in lines)

    def check(self, request: Request) -> None:
        """Raise :class:`BadRequest` for a blocked prompt. The word itself is not repeated."""
        if self._pattern is None:
            return
        # as it is written, and as the model reads it: weights may part a word or a phrase, "(go)re"
        if any(self._pattern.search(_folded(text)) for text in (request.prompt, plain(request.prompt))):
            raise BadRequest.of("prompt", "holds a word that this service does not allow; please reword it")


def _folded(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text).casefold()
    return "".join(c for c in folded if not unicodedata.combining(c) and unicodedata.category(c) != "Cf").strip()
