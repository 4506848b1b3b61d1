"""A perceptual hash: pictures that look alike have hashes that differ in few bits.

DCT hash of Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010), section 3.2.1: the
picture in grey at 32 x 32, its two-dimensional DCT-II, the 8 x 8 lowest frequencies without the first row and column;
a bit says whether a coefficient is above their median.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

NEAR: Final = 8
"""Bits, of 64, in which the hashes of two pictures may differ for one to be taken for the other."""
DIGITS: Final = 16
"""Of a hash in hex."""
_SIDE: Final = 32
_KEPT: Final = 8
_PLAIN: Final = 2.0
"""Standard deviation of the grey at 32 x 32, of 255, below which a picture has nothing that a hash could hold on to."""


def perceptual_hash(image: Image) -> str | None:
    """64 bits as 16 hex digits; None for a picture of one colour, which has none."""
    import numpy as np
    from PIL.Image import Resampling

    small = image.convert("L").resize((_SIDE, _SIDE), Resampling.LANCZOS, reducing_gap=3.0)
    grey = np.asarray(small, dtype=np.float64)
    if grey.std() < _PLAIN:
        return None
    basis = _basis()
    low = (basis @ grey @ basis.T).ravel()
    bits = low > np.median(low)
    return f"{int.from_bytes(np.packbits(bits).tobytes(), 'big'):0{DIGITS}x}"


def distance(one: str, other: str) -> int:
    """In how many bits two hashes differ."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


def is_hash(text: str) -> bool:
    """Whether it is 16 lower-case hex digits."""
    return len(text) == DIGITS and all(c in "0123456789abcdef" for c in text)


@cache
def _basis() -> np.ndarray:
    """Rows 1 to 8 of the orthonormal DCT-II matrix of 32 points."""
    import numpy as np

    frequency, place = np.arange(1, _KEPT + 1)[:, None], np.arange(_SIDE)[None, :]
    basis: np.ndarray = np.sqrt(2 / _SIDE) * np.cos(np.pi * (2 * place + 1) * frequency / (2 * _SIDE))
    return basis
