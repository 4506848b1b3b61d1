"""Prompts in pieces: where they are cut, what is left over, and which token has which weight."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from calotype.checkpoint import EMBEDDED
from calotype.emphasis import plain
from calotype.engine.chunks import CHUNKS_LIMIT, Token, split, tokens_of

TOKENIZER: Any = CLIPTokenizer.from_pretrained(EMBEDDED / "tokenizer")


def words(text: str) -> list[Token]:
    """``ca- t dog ,``: a hyphen at the end is a word that goes on."""
    texts = (word.removesuffix("-") if word.endswith("-") else f"{word}</w>" for word in text.split())
    return [Token(place, 1.0, text) for place, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("text", "lengths"),
    [
        ("", [0]),
        ("a b c d e f g h", [8]),
        ("a b c d e f g h i", [8, 1]),
        ("a b c d e f , g h i", [7, 3]),
        ("a b c , d e f g h i", [8, 2]),
        ("a b c d e . f , g , h", [8, 3]),
        ("a b c d e f g h- i j", [7, 3]),
        ("a- b- c- d- e- f- g- h- i- j", [8, 2]),
    ],
)
def test_where_it_is_cut(text: str, lengths: list[int]) -> None:
    pieces, lost = split(words(text), 8)
    assert ([len(piece) for piece in pieces], lost) == (lengths, 0)


@given(st.lists(st.sampled_from(["a", "b-", ",", "."]), max_size=120), st.integers(1, 12))
def test_nothing_is_lost_but_what_does_not_fit(texts: list[str], room: int) -> None:
    tokens = words(" ".join(texts))
    pieces, lost = split(tokens, room)
    assert 1 <= len(pieces) <= CHUNKS_LIMIT
    assert all(len(piece) <= room for piece in pieces)
    assert all(pieces) or not tokens
    assert [token for piece in pieces for token in piece] == tokens[: len(tokens) - lost]
    assert lost == 0 or len(pieces) == CHUNKS_LIMIT


def test_a_token_has_the_weight_of_its_words() -> None:
    tokens = tokens_of(TOKENIZER, "a (blue:1.5) [cat], (ca:2)t xqzptv:0.3)")
    assert [token.weight for token in tokens[:5]] == [1, 1.5, 1 / 1.1, 1, 2]
    assert {token.weight for token in tokens[5:]} == {1.0}
    assert [token.id for token in tokens] == TOKENIZER(
        "a blue cat, cat xqzptv:0.3)", add_special_tokens=False
    ).input_ids


@given(st.text(max_size=80) | st.text("cat ():.12[]\\é🐱\u0301<|endoftext|>", max_size=40))
def test_weights_change_no_token_whatever_is_written(prompt: str) -> None:
    tokens = tokens_of(TOKENIZER, prompt)
    assert [token.id for token in tokens] == TOKENIZER(plain(prompt), add_special_tokens=False, verbose=False).input_ids
