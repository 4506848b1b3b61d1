"""Which texts can be written down."""

from __future__ import annotations

import json
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calotype import texts
from calotype.errors import BadRequest
from calotype.request import Request

ANY = st.text(st.characters() | st.sampled_from("\x00\ud800\udfff"))
BROKEN = ["\x00", "a\x00b", "\ud800", "a\udfffb"]


@given(ANY)
def test_what_is_sound_is_what_can_be_encoded_and_holds_no_nul(text: str) -> None:
    try:
        text.encode()
        encodes = True
    except UnicodeEncodeError:
        encodes = False
    assert texts.is_sound(text) == (encodes and "\0" not in text)
    assert texts.is_sound(texts.mended(text))
    assert len(texts.mended(text)) == len(text)
    if texts.is_sound(text):
        assert texts.mended(text) == text
        assert sqlite3.connect(":memory:").execute("SELECT ?", [text]).fetchone() == (text,)


@given(st.recursive(st.none() | st.integers() | ANY, lambda each: st.lists(each) | st.dictionaries(ANY, each)))
def test_every_text_in_a_json_value(value: object) -> None:
    written = json.dumps(value, ensure_ascii=False)
    whole = not any(sign in written for sign in ("\\u0000", *map(chr, range(0xD800, 0xE000))))
    assert texts.is_sound_throughout(value) == whole
    assert texts.is_sound_throughout(texts.mended_throughout(value))


def test_however_deep() -> None:
    value: list[object] = ["\0"]
    for _ in range(100_000):
        value = [value]
    with pytest.raises(BadRequest, match="reply_to: holds NUL"):
        texts.check("reply_to", value)


@pytest.mark.parametrize("text", BROKEN)
@pytest.mark.parametrize(
    "field", ["prompt", "negative_prompt", "sampler", "schedule", "model", "init_image", "mask", "options.x", "\ud800"]
)
def test_no_request_holds_any(field: str, text: str) -> None:
    head, _, rest = field.partition(".")
    for value in (text, {rest: {"name": text}}, {rest: {"list": [[text]]}}, {rest: {text: 1}}) if rest else (text,):
        with pytest.raises(BadRequest) as caught:
            Request.parse({"prompt": "cat", head: value})
        assert caught.value.problems[0].field.startswith(head)
