"""What differs between two records, how far two pictures are apart, and what both together mean."""

from __future__ import annotations

import io
from typing import Any

import pytest
from PIL import Image

from calotype.images.store import name_of
from calotype.verifying import LARGEST, MEAN, Comparison, Conditions, Difference, Verdict, compare, judge

RECORD: dict[str, Any] = {
    "model": {"name": "m", "family": "sd1", "sha256": "aa"},
    "device": "cpu",
    "device_name": "A CPU",
    "dtype": "float32",
    "threads": 1,
    "row_buckets": [2, 3, 4],
    "versions": {"torch": "2.13.0", "calotype": "0.1.0"},
    "engine_sha256": "ee",
    "python": "3.11.7",
    "machine": {"cpu": "A CPU", "arch": "x86_64"},
    "torch": {"cpu_capability": "AVX512", "mkl_cbwr": ""},
    "png": {"zlib": "1.3", "level": 6},
    "plugins": {"euler": "0.1.0"},
    "plugin_code": {"euler": {"distribution": "calotype", "sha256": "cc"}},
    "timings": {"model_s": 1.0},
}


def changed(place: str, value: Any) -> dict[str, Any]:
    *groups, name = place.split(".")
    record: dict[str, Any] = dict(RECORD)
    group = record
    for each in groups:
        group[each] = dict(group[each])
        group = group[each]
    group[name] = value
    return record


@pytest.mark.parametrize(
    ("place", "now", "shown"),
    [
        ("model.sha256", "bb", "bb"),
        ("model.name", "n", "n"),
        ("device", "cuda", "cuda"),
        ("device_name", "Another", "Another"),
        ("threads", 2, "2"),
        ("row_buckets", [], "none"),
        ("row_buckets", [2, 3], "2 3"),
        ("versions.torch", "2.14.0", "2.14.0"),
        ("engine_sha256", "ff", "ff"),
        ("python", "3.12.0", "3.12.0"),
        ("machine.cpu", "B CPU", "B CPU"),
        ("torch.cpu_capability", "AVX2", "AVX2"),
        ("torch.mkl_cbwr", "COMPATIBLE", "COMPATIBLE"),
        ("png.level", 9, "9"),
        ("plugins.euler", "0.2.0", "0.2.0"),
        ("plugin_code.euler.sha256", "dd", "dd"),
    ],
)
def test_each_condition_counts(place: str, now: Any, shown: str) -> None:
    found = Conditions.between(RECORD, changed(place, now))
    assert [(d.what, d.now) for d in found.differences] == [(place, shown)]
    assert not found.unknown
    assert not found.same


def test_times_are_no_condition_and_neither_is_what_is_not_known() -> None:
    assert Conditions.between(RECORD, {**RECORD, "timings": {"model_s": 2.0}, "worker": "b"}).same


def test_an_older_record_tells_less_and_is_not_taken_for_the_same() -> None:
    old = {name: RECORD[name] for name in ("model", "device", "threads", "versions", "plugins", "dtype")}
    found = Conditions.between(old, RECORD)
    assert not found.differences
    assert {"machine.cpu", "torch.cpu_capability", "row_buckets", "plugin_code.euler.sha256"} <= set(found.unknown)
    assert not found.same
    assert Conditions.between({}, RECORD).unknown
    # a record that is no longer understood is told as it is
    odd = Conditions.between({"model": "aa"}, RECORD)
    assert odd.differences == (Difference("model", "aa", "–"),)


def test_what_was_there_then_and_is_not_now() -> None:
    then = {**RECORD, "plugins": {"euler": "0.1.0", "grain": "1.0"}}
    assert Conditions.between(then, RECORD).differences == (Difference("plugins.grain", "1.0", "–"),)


def png(colour: tuple[int, int, int], size: tuple[int, int] = (4, 4), level: int = 6) -> bytes:
    buffer = io.BytesIO()
    image = Image.new("RGB", size, (10, 20, 30))
    image.putpixel((0, 0), colour)
    image.save(buffer, "PNG", compress_level=level)
    return buffer.getvalue()


def test_pictures_compared() -> None:
    then = png((10, 20, 30))
    assert compare(name_of(then), None, then) == Comparison(same_file=True, same_pixels=True)
    packed = compare(name_of(then), then, png((10, 20, 30), level=0))
    assert (packed.same_file, packed.same_pixels, packed.largest) == (False, True, (0, 0, 0))
    moved = compare(name_of(then), then, png((12, 20, 14)))
    assert (moved.same_pixels, moved.largest, moved.mean) == (False, (2, 0, 16), (2 / 16, 0.0, 1.0))
    larger = compare(name_of(then), then, png((10, 20, 30), (8, 4)))
    assert (larger.same_pixels, larger.size, larger.size_now, larger.within) == (False, (4, 4), (8, 4), False)
    gone = compare(name_of(then), None, png((9, 20, 30)))
    assert (gone.same_file, gone.same_pixels, gone.within) == (False, None, False)


SAME, OTHER, OLD = Conditions(), Conditions((Difference("threads", "1", "2"),)), Conditions((), ("machine.cpu",))
EQUAL = Comparison(True, True)
PACKED = Comparison(False, True, (4, 4), (4, 4), (0, 0, 0), (0.0, 0.0, 0.0))
NEAR = Comparison(False, False, (4, 4), (4, 4), (0, LARGEST, 0), (0.0, MEAN, 0.0))
FAR = Comparison(False, False, (4, 4), (4, 4), (LARGEST + 1, 0, 0), (MEAN, 0.0, 0.0))
SHIFTED = Comparison(False, False, (4, 4), (4, 4), (LARGEST, 0, 0), (0.0, 0.0, MEAN * 1.01))
GONE = Comparison(False, None)


@pytest.mark.parametrize(
    ("found", "conditions", "verdict", "good"),
    [
        (EQUAL, SAME, Verdict.SAME, True),
        (EQUAL, OTHER, Verdict.SAME, True),
        (EQUAL, OLD, Verdict.SAME, True),
        (PACKED, OTHER, Verdict.SAME_PIXELS, True),
        (PACKED, SAME, Verdict.UNEXPLAINED, False),
        (NEAR, OTHER, Verdict.WITHIN, True),
        (NEAR, OLD, Verdict.WITHIN, True),
        (NEAR, SAME, Verdict.UNEXPLAINED, False),
        (FAR, OTHER, Verdict.DIFFERENT, False),
        (SHIFTED, OTHER, Verdict.DIFFERENT, False),
        (GONE, OTHER, Verdict.DIFFERENT, False),
        (GONE, SAME, Verdict.UNEXPLAINED, False),
    ],
)
def test_verdicts(found: Comparison, conditions: Conditions, verdict: Verdict, good: bool) -> None:
    assert judge(found, conditions) is verdict
    assert verdict.good is good


def test_what_the_operator_removed_is_not_held_against_anybody() -> None:
    assert judge(GONE, OTHER, removed=True) is Verdict.REMOVED
    assert Verdict.REMOVED.good
    assert judge(GONE, SAME, removed=True) is Verdict.UNEXPLAINED, "its sha256 tells as much"
    assert judge(EQUAL, OTHER, removed=True) is Verdict.SAME
