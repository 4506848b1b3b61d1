"""Masks: what is white is repainted, what is not stays as it was."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionInpaintPipeline
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from PIL import Image, ImageDraw

from calotype.engine.denoiser import Denoiser
from calotype.engine.masks import Held, Mask
from calotype.engine.run import Run
from calotype.engine.starting import StartEncoder, read_mask, read_rgb
from calotype.errors import CalotypeError
from calotype.sampling import Query

TINY = "tiny-sd1"
HOLE = (16, 8, 47, 39)
"""What is repainted of 64 × 64 pixels, corners included; on the grid of both autoencoders."""


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def painted(size: tuple[int, int] = (64, 64), hole: tuple[int, int, int, int] | None = HOLE) -> Image.Image:
    mask = Image.new("RGB", size)
    if hole is not None:
        ImageDraw.Draw(mask).rectangle(hole, fill="white")
    return mask


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.float64) / 255


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(max(((a - b) ** 2).mean(), 1e-10)))


def test_what_is_held_is_the_picture_with_as_much_noise_as_is_asked_for() -> None:
    latents, noise, x = (torch.randn(3, 4, 4) for _ in range(3))
    free = torch.zeros(1, 4, 4, dtype=torch.bool)
    free[:, 1:3, 2:] = True
    held = Held(free, latents, noise)
    everywhere = free.expand(3, 4, 4)
    noised, clean = held.noised(x, 2.5), held.clean(x)
    assert torch.equal(noised[everywhere], x[everywhere])
    assert torch.equal(noised[~everywhere], (latents + 2.5 * noise)[~everywhere])
    assert torch.equal(clean[everywhere], x[everywhere])
    assert torch.equal(clean[~everywhere], latents[~everywhere])


def test_the_denoiser_shows_and_answers_what_is_held(bench: Any) -> None:
    """At every noise level, whatever the sampler made of the part, with and without the prompt."""
    model = bench.model()
    latents, noise, x = (torch.randn(12, 16, 16) for _ in range(3))
    free = torch.zeros(1, 16, 16, dtype=torch.bool)
    free[:, :8] = True
    prompt = torch.zeros(24, 8)
    plain = Denoiser(model, prompt, prompt, 4.0, 0.5)
    held = replace(plain, held=Held(free, latents, noise))
    for sigma in (0.1, 30.0):
        query = Query(x, sigma, unconditional=True)
        blended = Query(torch.where(free, x, latents + sigma * noise), sigma, unconditional=True)
        for row, other in zip(held.rows(query), plain.rows(blended), strict=True):
            assert torch.equal(row.x, other.x)
        outputs = [torch.randn(12, 16, 16) for _ in range(2)]
        for estimate, usual in zip(held.combine(query, outputs), plain.combine(blended, outputs), strict=True):
            assert torch.equal(estimate, torch.where(free, usual, latents))


def test_nothing_that_is_white_stays_however_thin() -> None:
    white = torch.zeros(1, 16, 24, dtype=torch.bool)
    white[0, 9, 3] = True
    mask = Mask.of(white, torch.zeros(3, 16, 24), 8)
    assert mask.latent.tolist() == [[[False, False, False], [True, False, False]]]
    new = torch.ones(3, 16, 24)
    assert mask.paste(new).sum() == 3, "the rest of its latent is given back"


@pytest.mark.parametrize("size", [(64, 64), (128, 128), (16, 16), (300, 100)])
def test_a_mask_is_cut_as_its_picture_is(tmp_path: Path, size: tuple[int, int]) -> None:
    image = painted(size, (size[0] // 2, 0, size[0], size[1]))
    image.save(tmp_path / "x.png")
    white = read_mask(tmp_path / "x.png", 64, 32)
    assert (white.shape, white.dtype) == ((1, 32, 64), torch.bool)
    assert white[:, :, 32:].all()
    assert not white[:, :, :32].any()
    picture = read_rgb(tmp_path / "x.png", 64, 32)
    assert torch.equal((picture[:1] > 0.5), white)


def test_grey_counts_from_the_middle_on(tmp_path: Path) -> None:
    image = Image.new("L", (2, 1))
    image.putdata([127, 128])
    image.save(tmp_path / "x.png")
    assert read_mask(tmp_path / "x.png", 2, 1).tolist() == [[[False, True]]]


def test_a_mask_that_is_black_or_damaged_fails_its_job_alone(bench: Any, tmp_path: Path) -> None:
    picture = bench.store.put(bench.alone(steps=1)[0])
    black, damaged = bench.store.put(png(painted(hole=None))), bench.store.put(b"\x89PNG\r\n\x1a\n and nothing more")
    good = bench.join(steps=2)
    said = [bench.failure(bench.join(steps=2, init_image=picture, mask=sha256)) for sha256 in (black, damaged)]
    assert said[0] == "mask: nothing in it is white, so nothing would change; paint white what is to be repainted"
    assert said[1] == "mask: it cannot be read (it is damaged)"
    assert bench.pngs(good)
    with pytest.raises(CalotypeError, match=r"^mask: it cannot be read \(No such file"):
        read_mask(tmp_path / "none.png", 8, 8)


@pytest.mark.parametrize("sampler", ["euler", "euler_ancestral", "heun", "dpmpp_2m"])
@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_latents_outside_are_the_pictures_own_with_every_sampler(bench: Any, sampler: str, strength: float) -> None:
    from calotype.engine.batcher import tick

    model = bench.model()
    source = bench.store.put(bench.alone(prompt="owl", seed=3, steps=4)[0])
    fields = {"prompt": "pizza", "steps": 4, "sampler": sampler, "strength": strength}
    assignment = bench.assignment(init_image=source, mask=bench.store.put(png(painted())), **fields)
    start = StartEncoder().encode(model, assignment)
    assert start is not None and start.mask is not None
    inputs = {"hidden": torch.zeros(24, 256)}
    run = Run(assignment, 0, Denoiser(model, inputs, inputs, 4.0, 0.5), start)
    while not run.done:
        assert tick([run]) == {}
    assert run.latents is not None
    free = start.mask.latent.expand_as(run.latents)
    assert int(start.mask.latent.sum()) == 8 * 8
    assert torch.equal(run.latents[~free], start.latents[~free])
    assert not torch.isclose(run.latents[free], start.latents[free]).all()


@pytest.mark.parametrize("model", ["calotype-emoji", TINY])
def test_outside_the_picture_is_kept_and_inside_it_is_new(bench: Any, model: str) -> None:
    plain = {"model": model, "seed": 3, "steps": 8, "options": {"upscale": False} if model != TINY else {}}
    source = bench.alone(prompt="owl", **plain)[0]
    fields = plain | {"init_image": bench.store.put(source), "mask": bench.store.put(png(painted()))}
    before = pixels(source)
    for strength in (0.7, 1.0):
        after = pixels(bench.alone(prompt="blue fish", strength=strength, **fields)[0])
        inside = np.zeros((64, 64), dtype=bool)
        inside[HOLE[1] : HOLE[3] + 1, HOLE[0] : HOLE[2] + 1] = True
        assert np.array_equal(after[~inside], before[~inside])
        assert psnr(after[inside], before[inside]) < 20
    assert bench.records[next(reversed(bench.records))]["row_buckets"]


def test_after_the_upscaler_too(bench: Any) -> None:
    source = bench.alone(prompt="owl", seed=3, steps=8)[0]
    mask = painted((256, 256), (64, 32, 191, 159))
    fields = {"seed": 4, "steps": 8, "init_image": bench.store.put(source), "mask": bench.store.put(png(mask))}
    before, after = pixels(source), pixels(bench.alone(prompt="blue fish", strength=1.0, **fields)[0])
    assert before.shape == after.shape == (256, 256, 3)
    inside = np.asarray(mask.convert("L")) > 0
    outside = np.asarray(mask.convert("L").resize((256, 256))) == 0
    outside[24:168, 56:200] = False  # the upscaler looks some pixels around
    assert psnr(after[outside], before[outside]) > 25
    assert psnr(after[inside], before[inside]) < 15


@pytest.mark.parametrize("strength", [0.75, 0.875])
def test_parity_with_diffusers_inpainting(
    bench: Any, tiny_sd1: Path, strength: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its pipeline for models of four channels, file to file, where the mask is white; our strengths round alike.

    It takes a draw of the autoencoder's, we its mean. (Fewer steps agree no better than image-to-image does: weights
    that are random make much of diffusers' float32 noise levels.)
    """
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())
    source = Image.open(io.BytesIO(bench.alone(prompt="owl", seed=9, model=TINY)[0]))
    fields = {
        "prompt": "pizza", "seed": 3, "steps": 8, "sampler": "euler", "schedule": "normal", "guidance": 4.0,
        "guidance_rescale": 0.0, "model": TINY, "init_image": bench.store.put(png(source)),
        "mask": bench.store.put(png(painted())), "strength": strength,
    }  # fmt: skip
    ours = pixels(bench.alone(**fields)[0])
    levels = bench.model(TINY).levels
    sigmas = bench.catalog.registry.schedules["normal"].sigmas(8, levels, None)
    pipe = StableDiffusionInpaintPipeline.from_pretrained(
        tiny_sd1, safety_checker=None, requires_safety_checker=False, local_files_only=True
    )
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config, timestep_spacing="linspace")
    reference = pipe(
        "pizza", image=source, mask_image=painted().convert("L"), strength=strength, num_inference_steps=8,
        sigmas=list(sigmas)[:-1], guidance_scale=4.0, generator=torch.Generator().manual_seed(3), output_type="np",
        height=64, width=64,
    ).images[0]  # fmt: skip
    inside = (slice(HOLE[1], HOLE[3] + 1), slice(HOLE[0], HOLE[2] + 1))
    assert np.abs(ours[inside] - reference[inside]).max() < 0.03
    assert np.abs(ours[inside] - reference[inside]).mean() < 0.002
