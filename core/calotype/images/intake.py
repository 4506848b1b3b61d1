"""Takes strangers' picture files in: what comes out is a plain picture, and nothing of the file itself is kept.

The header is read before a pixel is: a file of 10 kB can promise gigabytes. Only PNG, JPEG and WebP decoders are ever
reached, by the file's first bytes and not by its name. EXIF (places, cameras, names) goes, once the picture has been
turned as it says.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from calotype.errors import BadRequest
from calotype.postprocess import PIXEL_LIMIT
from calotype.request import SIDE_LIMIT

if TYPE_CHECKING:
    from PIL.Image import Image

UPLOAD_LIMIT: Final = 20 * 2**20
"""Bytes of a picture file."""
UPLOAD_AGE: Final = timedelta(days=1)
"""How long a picture that was taken in is kept without a job that starts from it."""
SCAN_LIMIT: Final = 100
"""Scans of a JPEG file. A progressive one has about ten; one of 33 bytes is drawn over the whole picture too."""
_ORIENTATION: Final = 0x0112
"""EXIF's tag. Its values 2 … 8 say how the camera was held."""


def read_picture(data: bytes, field: str = "picture") -> Image:
    """The picture in a PNG, JPEG or WebP file, upright, RGB, transparency over white; the first frame of several.

    The shorter side has at most 2048 pixels then: no request asks for more, and the disk is everybody's.
    Raises :class:`BadRequest` that names ``field`` for anything else, and for what is too large.
    """
    if len(data) > UPLOAD_LIMIT:
        raise BadRequest.of(field, f"has {len(data) / 2**20:.1f} MiB; at most {UPLOAD_LIMIT // 2**20} MiB")
    kind = _kind(data)
    if kind is None:
        raise BadRequest.of(field, "is not a PNG, JPEG or WebP file; save the picture as one of them")
    try:
        if kind == "webp":
            _check_size(field, *_webp_size(data))  # before its decoder, which takes its memory as soon as it is made
        if kind == "jpeg" and (scans := data.count(b"\xff\xda")) > SCAN_LIMIT:
            raise BadRequest.of(field, f"has {scans} scans; at most {SCAN_LIMIT}, save it as a plain JPEG")
        image = _open(kind, data)
        _check_size(field, *image.size)
        image.load()
        return _flat(_shrunk(_upright(image)))
    except BadRequest:
        raise
    except Exception as error:  # noqa: BLE001 - decoders raise anything at all for a broken file
        raise BadRequest.of(field, f"cannot be read as {kind.upper()}: {_said(error)}; save it anew") from None


def encode(image: Image) -> bytes:
    """The RGB picture as a PNG file that holds pixels and nothing else."""
    image.info = {}  # or Pillow would write the colour profile of the file that it came from
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def check_proportions(picture: Path, mask: Path) -> None:
    """Raises :class:`BadRequest` unless a mask, cut as its picture is, lies where it was painted (to a pixel).

    Both are PNG files of the image store; no more than their headers is read. One that is damaged is not told here.
    """
    from PIL.PngImagePlugin import PngImageFile

    try:
        with PngImageFile(picture) as image, PngImageFile(mask) as painted:
            (width, height), (wide, high) = image.size, painted.size
    except (OSError, SyntaxError):
        return
    if abs(wide * height - high * width) > max(width, height):
        message = f"is {wide}x{high}, its picture {width}x{height}; give it the picture's size or proportions"
        raise BadRequest.of("mask", message)


def _kind(data: bytes) -> str | None:
    signs: Mapping[str, bool] = {
        "png": data.startswith(b"\x89PNG\r\n\x1a\n"),
        "jpeg": data.startswith(b"\xff\xd8\xff"),
        "webp": data.startswith(b"RIFF") and data[8:12] == b"WEBP",
    }
    return next((kind for kind, fits in signs.items() if fits), None)


def _open(kind: str, data: bytes) -> Image:
    """By the decoder's own class: ``Image.open`` would try others, and only warn of what we refuse."""
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile
    from PIL.WebPImagePlugin import WebPImageFile

    classes = {"png": PngImageFile, "jpeg": JpegImageFile, "webp": WebPImageFile}
    return classes[kind](io.BytesIO(data))


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height by the first chunk (RFC 9649, sections 2.5 to 2.7)."""
    chunk, head = data[12:16], data[20:30]
    if len(head) < 10:
        raise ValueError("it ends in its header")
    if chunk == b"VP8X":
        return 1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")
    if chunk == b"VP8L" and head[0] == 0x2F:
        bits = int.from_bytes(head[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 " and head[3:6] == b"\x9d\x01\x2a":
        return int.from_bytes(head[6:8], "little") & 0x3FFF, int.from_bytes(head[8:10], "little") & 0x3FFF
    raise ValueError("its header is damaged")


def _check_size(field: str, width: int, height: int) -> None:
    if width * height > PIXEL_LIMIT:
        limit = f"{PIXEL_LIMIT // 2**20} megapixels"
        raise BadRequest.of(field, f"has {width}x{height} pixels; at most {limit}, make it smaller")


def _upright(image: Image) -> Image:
    from PIL.Image import Transpose

    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - EXIF is often damaged; the picture need not be
        return image
    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    return image.transpose(turns[orientation]) if orientation in turns else image


def _shrunk(image: Image) -> Image:
    """So that its shorter side has at most :data:`SIDE_LIMIT` pixels."""
    from PIL.Image import Resampling

    scale = SIDE_LIMIT / min(image.size)
    if scale >= 1:
        return image
    plain = image.convert("RGBA" if image.has_transparency_data else "RGB") if image.mode == "P" else image
    width, height = (round(side * scale) for side in image.size)
    return plain.resize((width, height), Resampling.BOX if plain.mode.startswith("I") else Resampling.LANCZOS)


def _flat(image: Image) -> Image:
    from PIL import Image as images

    if image.mode.startswith("I"):  # 16 bits of grey, which a plain conversion would cut off at white
        return image.convert("I").point(lambda value: value * (1 / 257)).convert("L").convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    picture = image.convert("RGBA")
    return images.alpha_composite(images.new("RGBA", picture.size, (255, 255, 255, 255)), picture).convert("RGB")


def _said(error: Exception) -> str:
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= 100 else f"{words[:100]}…"
