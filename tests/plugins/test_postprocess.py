"""Bundled post-processors: repeatable, no seams, within limits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

import calotype
from calotype.plugins.testing import picture
from calotype_plugins.postprocess import srvggnet, upscale
from calotype_plugins.postprocess.film_grain import FULL_STRENGTH, FilmGrain, FilmGrainParams
from calotype_plugins.postprocess.upscale import Upscale, UpscaleParams

GRAIN = FilmGrain()
UPSCALE = Upscale()
"""One for all tests, as in the service: the weights are read once."""


def info(seed: int = 7) -> calotype.PictureInfo:
    return calotype.PictureInfo(seed=seed, prompt="a lighthouse")


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


# --- upscale ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [2, 4])
def test_upscale_enlarges_and_keeps_the_picture(factor: int) -> None:
    params = UpscaleParams(factor=factor)
    source = Image.fromarray(np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)).convert("RGB")
    large = UPSCALE.process(source, info(), params)
    assert UPSCALE.scale(params) == factor
    assert large.mode == "RGB"
    assert large.size == (64 * factor, 64 * factor)
    # averaged back down it is the picture it was made from
    assert np.abs(pixels(large.reduce(factor)) - pixels(source)).mean() < 3


def test_upscale_is_sharper_than_interpolation() -> None:
    """The learned network does something: an edge stays an edge."""
    edge = Image.fromarray(np.repeat(np.where(np.arange(64) < 32, 40, 210)[None], 64, axis=0).astype(np.uint8))
    source = edge.convert("RGB")
    steepest = [
        np.abs(np.diff(pixels(large)[128, :, 0])).max()
        for large in (
            UPSCALE.process(source, info(), UpscaleParams()),
            source.resize((256, 256), Image.Resampling.BICUBIC),
        )
    ]
    assert steepest[0] > 1.5 * steepest[1]


def test_upscale_is_deterministic_also_among_threads_and_reads_its_weights_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import safetensors.torch

    read: list[object] = []
    load_file = safetensors.torch.load_file

    def spy(path: object) -> object:
        read.append(path)
        return load_file(path)

    monkeypatch.setattr(safetensors.torch, "load_file", spy)
    fresh, source = Upscale(), picture(48, 40)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: fresh.process(source, info(), UpscaleParams()).tobytes(), range(8)))
    assert len(set(made)) == 1
    assert read == [srvggnet.WEIGHTS]
    assert Upscale().process(source, info(seed=8), UpscaleParams()).tobytes() == made[0]


@pytest.mark.parametrize("factor", [2, 4])
def test_upscale_shows_no_seams(factor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    source, params = picture(100, 70), UpscaleParams(factor=factor)
    whole = pixels(UPSCALE.process(source, info(), params))
    monkeypatch.setattr(upscale, "TILE", 40)
    tiled = pixels(UPSCALE.process(source, info(), params))
    assert np.abs(tiled - whole).max() <= 1


def test_upscale_tiles_what_is_over_512(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []
    network = UPSCALE._network

    def spy(image: Image.Image) -> Image.Image:
        seen.append(image.size)
        return network(image)

    monkeypatch.setattr(UPSCALE, "_network", spy)
    source = picture(530, 24)
    tiled = pixels(UPSCALE.process(source, info(), UpscaleParams()))
    assert seen == [(530, 24), (38, 24)]  # the first tile's surroundings reach the right edge
    assert np.abs(tiled - pixels(network(source))).max() <= 1
    seen.clear()
    UPSCALE.process(picture(512, 8), info(), UpscaleParams())
    assert seen == [(512, 8)]


@pytest.mark.parametrize(("size", "factor"), [((1025, 1024), 4), ((2049, 2048), 2)])
def test_upscale_refuses_what_would_be_too_large(size: tuple[int, int], factor: int) -> None:
    with pytest.raises(ValueError, match=r"would be \d+x4096; at most 16 megapixels"):
        UPSCALE.process(Image.new("RGB", size), info(), UpscaleParams(factor=factor))


# --- film grain ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 8])
def test_film_grain_follows_the_seed_alone(size: int) -> None:
    source, params = picture(61, 43), FilmGrainParams(size=size)
    one = GRAIN.process(source, info(1), params)
    assert one.size == source.size
    assert one.mode == source.mode
    assert one.tobytes() == GRAIN.process(source, info(1), params).tobytes()
    assert one.tobytes() == GRAIN.process(source, calotype.PictureInfo(seed=1, prompt="else"), params).tobytes()
    assert one.tobytes() != GRAIN.process(source, info(2), params).tobytes()
    assert one.tobytes() != source.tobytes()


@pytest.mark.parametrize("size", [1, 5])
def test_film_grain_of_no_strength_changes_nothing(size: int) -> None:
    source = picture(33, 20)
    assert GRAIN.process(source, info(), FilmGrainParams(strength=0, size=size)).tobytes() == source.tobytes()


@pytest.mark.parametrize("size", [1, 2, 8])
def test_film_grain_is_as_strong_as_asked_whatever_its_size(size: int) -> None:
    grey = Image.new("RGB", (256, 256), (128, 128, 128))
    grained = pixels(GRAIN.process(grey, info(), FilmGrainParams(strength=0.25, size=size)))
    assert grained.std() == pytest.approx(0.25 * FULL_STRENGTH, rel=0.05)
    assert grained.mean() == pytest.approx(128, abs=2)
    assert np.ptp(grained, axis=-1).max() == 0  # grey grain: no colour


@pytest.mark.parametrize("level", [0, 255])
def test_film_grain_leaves_black_and_white_clean(level: int) -> None:
    flat = Image.new("RGB", (32, 32), (level, level, level))
    assert GRAIN.process(flat, info(), FilmGrainParams(strength=1)).tobytes() == flat.tobytes()


def test_film_grain_takes_a_single_pixel() -> None:
    assert GRAIN.process(Image.new("RGB", (1, 1)), info(2**53 - 1), FilmGrainParams(size=8)).size == (1, 1)
