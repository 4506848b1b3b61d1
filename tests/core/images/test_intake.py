"""Files of strangers: what becomes a plain picture, and what is refused before it costs anything."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from calotype.errors import BadRequest
from calotype.images.intake import SCAN_LIMIT, UPLOAD_LIMIT, check_proportions, encode, read_picture
from calotype.request import SIDE_LIMIT


def file(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def scene(mode: str = "RGB") -> Image.Image:
    """Left red, right blue, and green at the top left."""
    image = Image.new("RGB", (40, 20), (255, 0, 0))
    image.paste((0, 0, 255), (20, 0, 40, 20))
    image.paste((0, 255, 0), (0, 0, 8, 8))
    return image.convert(mode)


def refusal(data: bytes) -> str:
    with pytest.raises(BadRequest) as caught:
        read_picture(data)
    (problem,) = caught.value.problems
    assert problem.field == "picture"
    assert "\n" not in problem.message
    return problem.message


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_every_kind_and_mode_becomes_rgb(kind: str, mode: str) -> None:
    if kind == "JPEG" and mode in ("RGBA", "LA", "P"):
        pytest.skip("there is no such JPEG")
    if kind != "JPEG" and mode == "CMYK":
        pytest.skip("only JPEG has it")
    options = {"lossless": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    taken = read_picture(file(scene(mode), kind, **options))
    assert (taken.mode, taken.size) == ("RGB", (40, 20))
    expected = np.asarray(scene(mode).convert("RGB"), dtype=int)
    assert np.abs(np.asarray(taken, dtype=int) - expected).mean() < 6


def test_what_comes_out_is_pixels_and_nothing_else() -> None:
    exif = Image.Exif()
    exif[0x010F] = "A camera"
    exif[0x8825] = {1: "N", 2: (51.0, 30.0, 0.0)}
    dirty = file(scene(), "JPEG", exif=exif, icc_profile=b"x" * 200, comment=b"my secret")
    clean = encode(read_picture(dirty))
    assert [clean[i + 4 : i + 8] for i in chunks(clean)] == [b"IHDR", b"IDAT", b"IEND"]
    assert encode(read_picture(clean)) == clean


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_nothing_that_a_file_says_beside_its_pixels_is_kept(kind: str) -> None:
    from PIL import PngImagePlugin

    exif = Image.Exif()
    exif[0x010F] = "SECRET camera"
    text = PngImagePlugin.PngInfo()
    text.add_text("parameters", "SECRET prompt")
    text.add_itxt("XML:com.adobe.xmp", "SECRET xmp", zip=True)
    options: dict[str, Any] = {"exif": exif, "icc_profile": b"SECRET" * 40}
    options |= {"pnginfo": text} if kind == "PNG" else {"xmp": b"SECRET xmp"}
    dirty = file(scene(), kind, **options)
    assert b"SECRET" in dirty
    clean = encode(read_picture(dirty))
    assert b"SECRET" not in clean
    with Image.open(io.BytesIO(clean)) as image:
        image.load()
        assert image.info == {}
        assert not image.getexif()


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_a_bomb_in_a_text_or_a_profile(kind: bytes) -> None:
    """64 MB of zeros in a chunk of 64 kB, of which Pillow reads one megabyte at most."""
    packed = zlib.compress(bytes(64 * 2**20), 9)
    body = {b"zTXt": b"x\0\0", b"iTXt": b"x\0\1\0\0\0", b"iCCP": b"x\0\0"}[kind] + packed
    plain = file(scene())
    chunk = struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    tracemalloc.start()
    try:
        read_picture(plain[:33] + chunk + plain[33:])  # after the header
        said = "cannot be read as PNG"
    except BadRequest as error:
        said = str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 8e6
    assert "cannot be read as PNG" in said


def chunks(png: bytes) -> list[int]:
    places, at = [], 8
    while at < len(png):
        places.append(at)
        at += 12 + struct.unpack(">I", png[at : at + 4])[0]
    return places


def test_a_polyglot_loses_its_tail() -> None:
    assert b"<script>" not in encode(read_picture(file(scene()) + b"<script>PK\x03\x04"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_it_is_turned_as_its_camera_was_held(kind: str, orientation: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    data = file(scene(), kind, exif=exif, **options)
    with Image.open(io.BytesIO(data)) as opened:
        expected = ImageOps.exif_transpose(opened).convert("RGB")
    taken = read_picture(data)
    assert taken.size == ((20, 40) if orientation > 4 else (40, 20))
    assert np.abs(np.asarray(taken, dtype=int) - np.asarray(expected, dtype=int)).max() == 0


def test_damaged_exif_does_not_matter() -> None:
    assert read_picture(file(scene(), "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")).size == (40, 20)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_white(mode: str) -> None:
    if mode == "P":
        image = Image.new("P", (4, 4), 0)
        image.putpalette([10, 20, 30] * 256)
        data = file(image, transparency=0)
    else:
        data = file(Image.new(mode, (4, 4), (0,) * len(mode)))
    assert read_picture(data).getpixel((1, 1)) == (255, 255, 255)


def test_sixteen_bits_of_grey_are_scaled_and_not_cut_off() -> None:
    grey = Image.fromarray(np.full((4, 4), 32768, dtype=np.uint16))
    assert read_picture(file(grey)).getpixel((0, 0)) in ((127,) * 3, (128,) * 3)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_the_first_of_many_frames(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((255, 0, 0), (0, 0, 255), (0, 255, 0))]
    data = file(frames[0], kind, save_all=True, append_images=frames[1:], duration=50)
    red, _, blue = read_picture(data).getpixel((4, 4))
    assert red > 200 > 50 > blue


def png_header(width: int, height: int) -> bytes:
    """A file that promises so much and holds a few bytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 10_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def webp_header(width: int, height: int, animated: bool = True) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    head = b"VP8X" + struct.pack("<I", 10) + bytes([2 if animated else 0, 0, 0, 0]) + size
    body = b"WEBP" + head + b"ANIM" + struct.pack("<I", 6) + bytes(6)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg_header(width: int, height: int) -> bytes:
    data = bytearray(file(Image.new("RGB", (8, 8)), "JPEG"))
    place = data.index(b"\xff\xc0")
    data[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(data)


BOMBS = {
    "png of 16 megapixels and one row": png_header(4096, 4097),
    "png of 100 megapixels, of which Pillow would warn": png_header(10_000, 10_000),
    "png of 2 GB": png_header(30_000, 24_000),
    "png of 2**31 pixels a side": png_header(2**31 - 1, 2**31 - 1),
    "webp of 268 megapixels": webp_header(16_384, 16_384),
    "webp of 16 million a side": webp_header(2**24, 2**24),
    "jpeg of 4 gigapixels": jpeg_header(65_500, 65_500),
}


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.filterwarnings("error")
def test_a_bomb_is_refused_by_its_header(name: str) -> None:
    tracemalloc.start()
    try:
        message = refusal(BOMBS[name])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "at most 16 megapixels" in message
    assert peak < 5e6


def test_a_webp_bomb_does_not_reach_its_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which takes the memory of the whole canvas as soon as it is made, unseen by tracemalloc."""

    def explodes(*_: Any) -> None:
        raise MemoryError("boom")

    monkeypatch.setattr("PIL.WebPImagePlugin.WebPImageFile.__init__", explodes)
    assert "at most 16 megapixels" in refusal(webp_header(16_384, 16_384))
    assert "boom" in refusal(webp_header(64, 64))


def test_a_jpeg_of_very_many_scans_is_refused_before_it_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    data = file(scene().resize((64, 64)), "JPEG", progressive=True)
    assert 1 < data.count(b"\xff\xda") < SCAN_LIMIT
    assert read_picture(data).size == (64, 64)
    last = data.rindex(b"\xff\xda")
    many = data[:-2] + data[last:-2] * SCAN_LIMIT + data[-2:]
    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.load", lambda _: pytest.fail("it was drawn"))
    assert refusal(many) == f"has {many.count(bytes((255, 218)))} scans; at most {SCAN_LIMIT}, save it as a plain JPEG"


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "I;16", "CMYK"])
def test_a_large_picture_is_made_smaller(mode: str) -> None:
    large = Image.new("RGB", (SIDE_LIMIT + 512, SIDE_LIMIT + 1024), (200, 30, 30))
    picture = large.convert("I").convert("I;16") if mode == "I;16" else large.convert(mode)
    found = read_picture(file(picture, "JPEG" if mode == "CMYK" else "PNG"))
    assert found.mode == "RGB"
    assert found.size == (SIDE_LIMIT, round((SIDE_LIMIT + 1024) * SIDE_LIMIT / (SIDE_LIMIT + 512)))


def test_exactly_16_megapixels_are_taken() -> None:
    assert read_picture(file(Image.new("1", (4096, 4096)))).size == (SIDE_LIMIT, SIDE_LIMIT)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is not a PNG, JPEG or WebP file"),
        (b"hello", "is not a PNG, JPEG or WebP file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is not a PNG, JPEG or WebP file"),
        (file(scene(), "GIF"), "is not a PNG, JPEG or WebP file"),
        (file(scene(), "TIFF"), "is not a PNG, JPEG or WebP file"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is not a PNG, JPEG or WebP file"),
        (file(scene())[:60], "cannot be read as PNG"),
        (file(scene(), "JPEG")[:300], "cannot be read as JPEG"),
        (file(scene(), "WEBP")[:40], "cannot be read as WEBP"),
        (b"\x89PNG\r\n\x1a\n", "cannot be read as PNG"),
        (b"\xff\xd8\xff", "cannot be read as JPEG"),
        (b"RIFF\x00\x00\x00\x00WEBP", "cannot be read as WEBP"),
        (png_header(64, 64), "cannot be read as PNG"),
        (bytes(UPLOAD_LIMIT + 1), "has 20.0 MiB; at most 20 MiB"),
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(data: bytes, said: str) -> None:
    assert said in refusal(data)


@settings(max_examples=150)
@given(st.sampled_from(["PNG", "JPEG", "WEBP"]), st.data())
def test_a_broken_file_is_a_picture_or_a_bad_request(kind: str, data: st.DataObject) -> None:
    whole = bytearray(file(scene(), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(4, len(whole) - 1))] = data.draw(st.integers(0, 255))
    del whole[data.draw(st.integers(0, len(whole))) :]
    try:
        taken = read_picture(bytes(whole))
    except BadRequest:
        return
    assert taken.mode == "RGB"
    assert encode(taken).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("picture", "mask", "fit"),
    [
        ((64, 64), (64, 64), True), ((256, 256), (64, 64), True), ((64, 64), (1000, 1000), True),
        ((1000, 667), (500, 333), True), ((1000, 667), (64, 43), True), ((300, 200), (90, 60), True),
        ((64, 64), (128, 64), False), ((1000, 667), (667, 1000), False), ((300, 200), (256, 256), False),
    ],
)  # fmt: skip
def test_a_mask_has_its_pictures_proportions(
    tmp_path: Path, picture: tuple[int, int], mask: tuple[int, int], fit: bool
) -> None:
    files = tmp_path / "picture.png", tmp_path / "mask.png"
    for path, size in zip(files, (picture, mask), strict=True):
        Image.new("RGB", size).save(path)
    if fit:
        check_proportions(*files)
        return
    with pytest.raises(BadRequest) as caught:
        check_proportions(*files)
    sizes = "is {}x{}, its picture {}x{}".format(*mask, *picture)
    assert str(caught.value) == f"mask: {sizes}; give it the picture's size or proportions"


def test_the_proportions_of_a_damaged_file_are_not_judged(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"gone")
    check_proportions(tmp_path / "x.png", tmp_path / "x.png")
    check_proportions(tmp_path / "none.png", tmp_path / "x.png")


def test_a_hole_in_a_picture_is_white_in_a_mask() -> None:
    """What other programs call a mask: opaque where the picture is kept, transparent where it is repainted."""
    image = Image.new("RGBA", (4, 2), (0, 0, 0, 255))
    image.putpixel((1, 1), (0, 0, 0, 0))
    assert read_picture(file(image)).convert("L").tobytes() == b"\x00" * 5 + b"\xff" + b"\x00" * 2
