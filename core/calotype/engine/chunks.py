"""A prompt of any length in pieces that a text encoder's window holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from calotype.emphasis import parse

CHUNKS_LIMIT: Final = 8
"""Pieces that are read: 600 tokens of Stable Diffusion, more than fit into a prompt of ordinary words."""
_WORD_END: Final = "</w>"
_STOPS: Final = frozenset(f"{mark}{_WORD_END}" for mark in ",.;!?")


class Token(NamedTuple):
    """A number of the tokenizer's vocabulary, its weight, and what stands there in the vocabulary, e.g. ``cat</w>``."""

    id: int
    weight: float
    text: str


def tokens_of(tokenizer: Any, prompt: str) -> list[Token]:
    """The prompt's tokens, without start, end and padding.

    It is tokenized whole and without its weights, so that weights change no token. One that stands over several
    weights, as in ``(ca:1.2)t``, takes that of its first character.
    """
    parts = parse(prompt)
    weights = [part.weight for part in parts for _ in part.text]
    text = "".join(part.text for part in parts)
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    texts = tokenizer.convert_ids_to_tokens(found["input_ids"])
    begins = [begin for begin, _ in found["offset_mapping"]]
    return [
        Token(number, weights[begin] if begin < len(weights) else 1.0, text)
        for number, begin, text in zip(found["input_ids"], begins, texts, strict=True)
    ]


def split(tokens: Sequence[Token], room: int) -> tuple[list[Sequence[Token]], int]:
    """Pieces of at most ``room`` tokens, one at least and :data:`CHUNKS_LIMIT` at most, and how many tokens are left.

    A piece ends after the last comma or full stop in its last quarter, else after its last whole word, else where it
    is full: what belongs together is read together. (Automatic1111's web UI looks back 20 of 75 tokens for a comma.)
    """
    pieces: list[Sequence[Token]] = [tokens[: _end(tokens, room)]]
    place = len(pieces[0])
    while place < len(tokens) and len(pieces) < CHUNKS_LIMIT:
        rest = tokens[place:]
        pieces.append(rest[: _end(rest, room)])
        place += len(pieces[-1])
    return pieces, len(tokens) - place


def _end(tokens: Sequence[Token], room: int) -> int:
    """How many of the tokens make the next piece."""
    if len(tokens) <= room:
        return len(tokens)
    for end in range(room, room - room // 4 - 1, -1):
        if tokens[end - 1].text in _STOPS:
            return end
    for end in range(room, 0, -1):
        if tokens[end - 1].text.endswith(_WORD_END):
            return end
    return room
