"""What a post-processor is: a small step that takes the finished picture and gives another."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from calotype.sampling import NoParams
from calotype.sampling import Params as _Params

if TYPE_CHECKING:
    from PIL.Image import Image


PIXEL_LIMIT: Final = 2**24
"""Pixels of a delivered picture: 16 megapixels, 4096 x 4096."""


@dataclass(frozen=True)
class PictureInfo:
    """What a post-processor may know of the picture: everything it needs to be the same each time."""

    seed: int
    """Seed of this picture, 0 … 2**53 - 1: the only source of chance that a post-processor may use."""
    prompt: str


class PostProcessor(ABC):
    """Works on one finished picture at a time. Stateless towards the picture: same input, same output."""

    name: ClassVar[str]
    label: ClassVar[str]
    Params: ClassVar[type[_Params]] = NoParams
    order: ClassVar[int] = 50
    """Where it stands in the chain: lower runs first. Bundled: upscale 20, film_grain 60."""

    @abstractmethod
    def process(self, image: Image, info: PictureInfo, params: _Params) -> Image:
        """``image`` is RGB, 8 bits a channel, at most 16 megapixels; so must be the result.

        Raising skips this step only: the picture is delivered without it, and says so.
        """

    def scale(self, params: _Params) -> int:
        """How many times larger each side of the result is: 1 for most."""
        return 1
