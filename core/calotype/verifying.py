"""Verifying: what a job's record says of how its pictures were made, and whether they come out the same again.

Nothing here renders (:mod:`calotype.rerendering` does) and nothing is written.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from calotype.images.store import name_of

LARGEST: Final = 8
"""Difference of one pixel's channel, of 255, that other conditions may make. Measured: 2 at most (docs/verify.md)."""
MEAN: Final = 0.05
"""Mean difference over a channel, of 255, that other conditions may make. Measured: 0.0043 at most."""

_COMPARED: Final = (
    "model", "device", "device_name", "dtype", "threads", "row_buckets", "versions", "engine_sha256", "python",
    "machine", "torch", "png", "plugins", "plugin_code",
)  # fmt: skip
"""What of a record is a condition: the rest (times) shapes no picture."""


class Verdict(StrEnum):
    """How a picture that was made again stands to what was made then."""

    SAME = "same"
    """The same file, bit for bit."""
    SAME_PIXELS = "same_pixels"
    """The same pixels in another file: conditions differ, or are not known to be the same."""
    WITHIN = "within_tolerance"
    """As close as other conditions may make it."""
    DIFFERENT = "different"
    """Further away than that."""
    REMOVED = "removed"
    """Not the same file, under other conditions; how close cannot be told, since the operator removed that of then."""
    UNEXPLAINED = "unexplained"
    """Another file under the same conditions: that should never be."""

    @property
    def good(self) -> bool:
        """Whether the promise is kept, as far as anybody can tell."""
        return self in (Verdict.SAME, Verdict.SAME_PIXELS, Verdict.WITHIN, Verdict.REMOVED)


@dataclass(frozen=True)
class Difference:
    """A condition, by its place in the record, that is not what it was."""

    what: str
    then: str
    now: str


@dataclass(frozen=True)
class Conditions:
    """Those of then against those of now."""

    differences: tuple[Difference, ...] = ()
    unknown: tuple[str, ...] = ()
    """What the record of then does not tell: it is an older program's."""

    @property
    def same(self) -> bool:
        """Whether all of them are known to be the same."""
        return not self.differences and not self.unknown

    @classmethod
    def between(cls, then: Mapping[str, Any], now: Mapping[str, Any], more: Sequence[Difference] = ()) -> Conditions:
        """Of two records; ``more`` differences were found elsewhere."""
        before, after = dict(_flat(then)), dict(_flat(now))
        changed = [
            Difference(what, value, after.get(what, "–")) for what, value in before.items() if after.get(what) != value
        ]
        return cls((*changed, *more), tuple(what for what in after if what not in before))


def _flat(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in _COMPARED:
        if record.get(name) is not None:
            yield from _leaves(name, record[name])


def _leaves(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _leaves(f"{name}.{key}", each)
    elif isinstance(value, list | tuple):
        yield name, " ".join(map(str, value)) or "none"
    else:
        yield name, str(value)


@dataclass(frozen=True)
class Comparison:
    """A picture of now against one of then. Differences are of 8-bit channels: red, green, blue."""

    same_file: bool
    same_pixels: bool | None
    """None: the file of then is gone or damaged, so only its sha256 could be compared."""
    size: tuple[int, int] | None = None
    """(width, height) then."""
    size_now: tuple[int, int] | None = None
    largest: tuple[int, ...] | None = None
    mean: tuple[float, ...] | None = None

    @property
    def within(self) -> bool:
        """Whether it is as close as :data:`LARGEST` and :data:`MEAN` say."""
        return bool(self.largest and self.mean and max(self.largest) <= LARGEST and max(self.mean) <= MEAN)


def compare(sha256: str, then: bytes | None, now: bytes) -> Comparison:
    """PNG files: of then, if there is still one, which had that sha256, and of now."""
    if name_of(now) == sha256:
        return Comparison(same_file=True, same_pixels=True)
    if then is None:
        return Comparison(same_file=False, same_pixels=None)
    import numpy as np
    from PIL import Image

    with Image.open(io.BytesIO(then)) as old, Image.open(io.BytesIO(now)) as new:
        sizes = {"size": old.size, "size_now": new.size}
        if old.size != new.size:
            return Comparison(False, False, **sizes)
        apart = np.abs(np.asarray(old.convert("RGB"), np.int16) - np.asarray(new.convert("RGB"), np.int16))
    largest = tuple(int(value) for value in apart.max(axis=(0, 1)))
    mean = tuple(float(value) for value in apart.mean(axis=(0, 1)))
    return Comparison(False, not any(largest), **sizes, largest=largest, mean=mean)


def judge(found: Comparison, conditions: Conditions, *, removed: bool = False) -> Verdict:
    """What that comparison means under these conditions; ``removed``: the operator removed the file of then."""
    if found.same_file:
        return Verdict.SAME
    if conditions.same:
        return Verdict.UNEXPLAINED
    if removed and found.same_pixels is None:
        return Verdict.REMOVED
    if found.same_pixels:
        return Verdict.SAME_PIXELS
    return Verdict.WITHIN if found.within else Verdict.DIFFERENT
