"""Image-to-image: what is kept of the picture it starts from, the steps that are done, and the same bits in company."""

from __future__ import annotations

import copy
import io
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from PIL import Image

from calotype.checkpoint import EMBEDDED
from calotype.engine.starting import Start, read_rgb
from calotype.errors import CalotypeError

TINY = "tiny-sd1"


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.float64) / 255


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(((a - b) ** 2).mean()))


def loaded(bench: Any, name: str) -> Any:
    bench.alone(steps=1, model=name)
    return bench.host._shelf.find(bench.catalog.models[name])


def test_the_weaker_the_change_the_more_is_kept(bench: Any) -> None:
    plain = {"prompt": "blue cat", "seed": 3, "options": {"upscale": False}}
    source = bench.alone(**plain)[0]
    picture = bench.store.put(source)
    changed = {
        strength: bench.alone(**{**plain, "prompt": "pizza", "seed": 4}, init_image=picture, strength=strength)[0]
        for strength in (0.1, 0.4, 1.0)
    }
    near = [psnr(pixels(source), pixels(png)) for png in changed.values()]
    assert near[0] > near[1] + 3 > near[2] + 3
    assert near[0] > 20
    anew = bench.alone(**{**plain, "prompt": "pizza", "seed": 4})[0]
    assert psnr(pixels(anew), pixels(changed[1.0])) > 25, "at full strength it is the prompt's picture"


@pytest.mark.parametrize(("strength", "done"), [(0.3, 6), (0.01, 1), (1.0, 20)])
@pytest.mark.parametrize("sampler", ["dpmpp_2m", "heun", "euler_ancestral"])
def test_progress_speaks_of_the_steps_that_are_done(bench: Any, sampler: str, strength: float, done: int) -> None:
    picture = bench.store.put(bench.alone(steps=2)[0])
    job = bench.join(steps=20, sampler=sampler, init_image=picture, strength=strength)
    bench.pngs(job)
    assert {steps for _, steps in bench.steps[job]} == {done}
    assert bench.steps[job][-1] == (done, done)
    calls = bench.catalog.registry.samplers[sampler].calls(done)
    assert len(bench.steps[job]) == calls, "as many model calls as are charged for"


def test_it_starts_where_its_steps_begin_in_the_schedule(bench: Any) -> None:
    """The run's own noise, on top of the picture's latents, at the level of the first step that is done."""
    from calotype.engine.denoiser import Denoiser
    from calotype.engine.run import Run, SeededNoise

    model = loaded(bench, "calotype-emoji")
    assignment = bench.assignment(steps=10, seed=5, init_image=bench.store.put(b""), strength=0.4)
    levels = bench.catalog.registry.schedules["normal"].sigmas(10, model.levels, None)
    start = torch.full((12, 16, 16), 0.25)
    nothing = torch.zeros(1, 1)
    run = Run(assignment, 0, Denoiser(model, nothing, nothing, 4.0, 0.5), Start(start))
    assert (run.steps, run.sigmas) == (4, list(levels)[6:])
    run.rows()
    assert run._query is not None
    noise = SeededNoise(5, (12, 16, 16))()
    assert torch.equal(run._query.x, start + noise * levels[6])


@pytest.mark.parametrize("size", [(64, 64), (300, 100), (100, 300), (1, 1), (3, 2000)])
def test_a_picture_of_any_shape_covers_the_request(tmp_path: Path, size: tuple[int, int]) -> None:
    image = Image.new("RGB", size, (0, 0, 255))
    middle = (size[0] // 2, size[1] // 2)
    image.paste((255, 0, 0), (*middle, middle[0] + 1, middle[1] + 1))
    image.save(tmp_path / "x.png")
    rgb = read_rgb(tmp_path / "x.png", 64, 32)
    assert rgb.shape == (3, 32, 64)
    assert rgb.dtype == torch.float32
    assert 0 <= float(rgb.min()) <= float(rgb.max()) <= 1
    assert rgb[1].max() < 0.01, "nothing but red and blue, so no border was added"


def test_the_middle_is_cut_out(tmp_path: Path) -> None:
    image = Image.new("RGB", (300, 100), (255, 255, 255))
    image.paste((0, 0, 0), (100, 0, 200, 100))
    image.save(tmp_path / "x.png")
    assert read_rgb(tmp_path / "x.png", 64, 64).max() < 0.1


@pytest.mark.parametrize("which", ["tiny", "embedded"])
def test_encode_is_what_diffusers_does_and_decode_undoes_it(bench: Any, tiny_sd1: Path, which: str) -> None:
    model = loaded(bench, TINY if which == "tiny" else "calotype-emoji")
    rgb = torch.rand((3, 64, 64), generator=torch.Generator().manual_seed(0))
    ours = model.encode(rgb)
    assert ours.shape == model.latent_shape(64, 64)
    with torch.inference_mode():
        if which == "tiny":
            vae = AutoencoderKL.from_pretrained(tiny_sd1 / "vae")
            theirs = vae.encode(rgb[None] * 2 - 1).latent_dist.mode()[0] * vae.config.scaling_factor
        else:
            vae = AutoencoderTiny.from_pretrained(EMBEDDED / "vae")
            theirs = vae.encode(rgb[None] * 2 - 1).latents[0] * vae.config.scaling_factor
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_a_shift_is_undone_as_well(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded(bench, "calotype-emoji")
    rgb = torch.full((3, 64, 64), 0.5)
    plain = model.encode(rgb)
    vae = model.network.vae
    config = dict(vae.config) | {"shift_factor": 0.125}
    network = copy.copy(model.network)
    network.vae = _Shifted(vae, config)
    shifted = replace(model, network=network)
    assert torch.allclose(shifted.encode(rgb), plain - 0.125 * vae.config.scaling_factor, atol=1e-5)
    assert torch.allclose(shifted.decode(shifted.encode(rgb)), model.decode(plain), atol=1e-4)


class _Shifted:
    """An autoencoder with another configuration."""

    def __init__(self, vae: Any, config: dict[str, Any]) -> None:
        from types import SimpleNamespace

        self.encode, self.decode, self.config = vae.encode, vae.decode, SimpleNamespace(**config)


def test_a_picture_is_encoded_once_for_its_size(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    model = loaded(bench, "calotype-emoji")
    encoded = []
    real = type(model).encode
    monkeypatch.setattr(type(model), "encode", lambda self, rgb: encoded.append(rgb.shape) or real(self, rgb))
    picture = bench.store.put(bench.alone(seed=77, steps=1)[0])
    jobs = [bench.join(init_image=picture, strength=s, steps=4) for s in (0.5, 0.9)]
    for job in jobs:
        bench.pngs(job)
    assert encoded == [(3, 64, 64)]


@pytest.mark.parametrize("place", range(8, 60))
def test_a_file_with_a_broken_byte_is_a_picture_or_said_to_be_damaged(tmp_path: Path, place: int) -> None:
    Image.new("RGB", (8, 8), "red").save(tmp_path / "x.png")
    data = bytearray((tmp_path / "x.png").read_bytes())
    data[place] ^= 0xFF
    (tmp_path / "x.png").write_bytes(data)
    with suppress(CalotypeError):  # anything else that a decoder raises is not suppressed
        assert read_rgb(tmp_path / "x.png", 8, 8).shape == (3, 8, 8)


def test_a_file_that_is_gone_or_damaged_fails_its_job_alone(bench: Any) -> None:
    picture = bench.store.put(b"\x89PNG\r\n\x1a\n and then nothing of the kind")
    good, damaged = bench.assignment(steps=2), bench.assignment(steps=2, init_image=picture)
    gone = replace(damaged, job_id="gone", init_image=Path("/nowhere/at/all.png"))
    for assignment in (damaged, gone, good):
        bench.host.join(assignment)
    assert bench.failure(damaged.job_id) == "init_image: the picture it starts from cannot be read (it is damaged)"
    assert bench.failure("gone").endswith("cannot be read (No such file or directory)")
    bench.pngs(good.job_id)
