"""The same picture as diffusers' own pipeline, for the same noise, noise levels and solver."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from PIL import Image

from calotype.checkpoint import EMBEDDED, inspect
from calotype.request import Request


def _reference(folder: Path, request: Request, sigmas: list[float], channels: int, side: int) -> np.ndarray:
    pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config, timestep_spacing="linspace")
    noise = torch.randn((channels, side, side), generator=torch.Generator().manual_seed(request.seed or 0))
    # the pipeline scales unit noise by its own first sigma; with linspace spacing that is sigmas[0]
    return pipe(
        request.prompt,
        sigmas=sigmas[:-1],
        guidance_scale=request.guidance,
        guidance_rescale=request.guidance_rescale,
        latents=noise[None],
        output_type="np",
    ).images[0]


@pytest.mark.parametrize(
    ("which", "guidance", "rescale"),
    [("tiny", 5.0, 0.0), ("tiny", 1.0, 0.0), ("embedded", 4.0, 0.5), ("embedded", 4.0, 0.0)],
)
def test_parity_text_to_image(bench: Any, tiny_sd1: Path, which: str, guidance: float, rescale: float) -> None:
    folder, model = (tiny_sd1, "tiny-sd1") if which == "tiny" else (EMBEDDED, "calotype-emoji")
    fields = {
        "prompt": "a blue guitar", "seed": 3, "steps": 8, "sampler": "euler", "schedule": "normal", "model": model,
        "guidance": guidance, "guidance_rescale": rescale, "options": {"upscale": False},
    }  # fmt: skip
    job = bench.join(**fields)
    ours = np.asarray(Image.open(io.BytesIO(bench.pngs(job)[0])), dtype=np.float32) / 255
    loaded = bench.host._shelf.find(inspect(folder))
    request = bench.catalog.resolve(Request.parse(fields))
    sigmas = bench.catalog.registry.schedules["normal"].sigmas(8, loaded.levels, None)
    channels, side = loaded.info.latent_channels, loaded.latent_shape(64, 64)[1]
    reference = _reference(folder, request, list(sigmas), channels, side)
    assert ours.shape == reference.shape == (64, 64, 3)
    # 8-bit rounding is 0.002; the rest is diffusers' float32 noise levels against our float64 ones
    assert np.abs(ours - reference).max() < 0.03
    assert np.abs(ours - reference).mean() < 0.002


@pytest.mark.parametrize(("strength", "done"), [(0.25, 2), (0.5, 4), (1.0, 8)])
def test_parity_image_to_image(bench: Any, strength: float, done: int) -> None:
    """diffusers' own pipeline from file to file, at our noise levels. Its steps are int(8 * strength), as ours here."""
    source = Image.open(io.BytesIO(bench.alone(prompt="pizza", seed=9, options={"upscale": False})[0]))
    buffer = io.BytesIO()
    source.save(buffer, "PNG")
    fields = {
        "prompt": "a blue guitar", "seed": 3, "steps": 8, "sampler": "euler", "schedule": "normal", "guidance": 4.0,
        "guidance_rescale": 0.0, "options": {"upscale": False}, "init_image": bench.store.put(buffer.getvalue()),
        "strength": strength,
    }  # fmt: skip
    job = bench.join(**fields)
    ours = np.asarray(Image.open(io.BytesIO(bench.pngs(job)[0])), dtype=np.float32) / 255
    assert bench.steps[job][-1] == (done, done)
    levels = bench.host._shelf.find(inspect(EMBEDDED)).levels
    sigmas = bench.catalog.registry.schedules["normal"].sigmas(8, levels, None)
    pipe = StableDiffusionImg2ImgPipeline.from_pretrained(
        EMBEDDED, safety_checker=None, requires_safety_checker=False, local_files_only=True
    )
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config, timestep_spacing="linspace")
    reference = pipe(
        "a blue guitar", image=source, strength=strength, num_inference_steps=8, sigmas=list(sigmas)[:-1],
        guidance_scale=4.0, generator=torch.Generator().manual_seed(3), output_type="np",
    ).images[0]  # fmt: skip
    assert np.abs(ours - reference).max() < 0.03
    assert np.abs(ours - reference).mean() < 0.002
