"""People's words made safe, and pictures made to fit."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from calotype.errors import Problem
from calotype.job import Picture
from calotype_bot import files, text


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("  a\n\tb ", "a b"),
        ("a\u200bb", "a⟨U+200B⟩b"),
        ("\u202eabc", "⟨U+202E⟩abc"),
        ("a\u3164b\u2028c", "a⟨U+3164⟩b c"),
        ("\U0001f469\u200d\U0001f680", "\U0001f469\u200d\U0001f680"),
        ("a\u200db", "a⟨U+200D⟩b"),
        ("\u200d", "⟨U+200D⟩"),
    ],
)
def test_what_cannot_be_seen_is_shown(given: str, shown: str) -> None:
    assert text.visible(given) == shown


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("**x** _y_", "\\*\\*x\\*\\* \\_y\\_"),
        ("<@1> @everyone", "\\<\\@1\\> \\@everyone"),
        ("https://x.y", "https\\:\\/\\/x\\.y"),
        ("# a", "\\# a"),
        ("plain words, with a comma", "plain words, with a comma"),
    ],
)
def test_markdown_is_no_markdown(given: str, shown: str) -> None:
    assert text.escape(given) == shown


@given(st.text(max_size=3000))
def test_words_are_safe_whatever_they_are(anything: str) -> None:
    shown = text.plain(anything)
    assert len(shown) <= 2 * text.PROMPT_SHOWN
    assert "\n" not in shown
    bare = shown.replace("\\\\", "")
    for place, char in enumerate(bare):
        if char in "*_~`|<>[]@#:":
            assert place and bare[place - 1] == "\\"
    assert not any(char in shown for char in "\u200b\u202a\u202b\u202d\u202e\u2066\u2067\u2068\ufeff\x00")


def test_problems_are_a_list_that_fits() -> None:
    many = text.problems([Problem(f"field{number}", "x" * 900) for number in range(9)])
    assert len(many) <= 2000
    assert "and 4 more" in many


def noise(folder: Path, size: int) -> tuple[Picture, Path]:
    pixels = np.random.default_rng(1).integers(0, 256, (size, size, 3), dtype=np.uint8)
    path = folder / "noise.png"
    Image.fromarray(pixels).save(path)
    return Picture(0, 1, "a" * 64, size, size, ("a note",)), path


def test_a_picture_that_fits_is_sent_as_it_is(tmp_path: Path) -> None:
    picture, path = noise(tmp_path, 64)
    (found,), missing = files.enclose([picture], lambda _: path)
    assert found.data == path.read_bytes()
    assert (found.name, found.notes, missing) == ("calotype-1.png", ("a note",), [])


@pytest.mark.parametrize(("limit", "scaled"), [(300_000, False), (20_000, True)])
def test_one_that_is_too_large_is_sent_as_jpeg(tmp_path: Path, limit: int, scaled: bool) -> None:
    picture, path = noise(tmp_path, 320)
    assert path.stat().st_size > limit
    (found,), _ = files.enclose([picture], lambda _: path, each=limit)
    assert len(found.data) <= limit
    assert found.name == "calotype-1.jpg"
    assert "shown here as JPEG" in found.notes[1]
    assert ("pixels" in found.notes[1]) == scaled
    with Image.open(io.BytesIO(found.data)) as image:
        assert (image.width < 320) == scaled


def test_all_of_them_fit_into_one_request(tmp_path: Path) -> None:
    picture, path = noise(tmp_path, 320)
    found, _ = files.enclose([picture] * 8, lambda _: path, in_all=900_000)
    assert sum(len(each.data) for each in found) <= 900_000


def test_one_that_is_gone_is_told() -> None:
    def gone(_: str) -> Path:
        raise KeyError

    found, missing = files.enclose([Picture(1, 1, "a" * 64, 8, 8)], gone)
    assert found == []
    assert missing == ["picture 2 is no longer kept"]
