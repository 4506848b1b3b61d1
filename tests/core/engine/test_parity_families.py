"""Every family × what it can do: the same latents and pictures as diffusers' own pipeline.

For the same noise, noise levels and solver (Euler) at eight steps, on tiny checkpoints with random weights, which make
more of a rounding error than trained ones do. The tolerance stands in :data:`TOLERANCE`; a family of the program
without its row here fails :func:`test_parity_is_stated_for_every_family`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from PIL import Image
from safetensors.torch import save_file

import families_table
from calotype.catalog import Catalog
from calotype.checkpoint import inspect
from calotype.engine.batcher import tick
from calotype.engine.conditioning import TextEncoder
from calotype.engine.denoiser import Denoiser
from calotype.engine.run import Run
from calotype.engine.starting import StartEncoder
from calotype.families import BUNDLED
from calotype.loras import Loras
from checkpoints import make_family

TOLERANCE = 1e-4
"""Largest difference of latents, against their standard deviation; and of pictures in 0 … 1."""
STEPS = 8
PIPELINES: dict[str, tuple[str, str, str]] = {
    "sd1": ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline"),
    "sd2": ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline"),
    "inpaint": ("", "", "StableDiffusionInpaintPipeline"),
    "lcm": ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionInpaintPipeline"),
    "sdxl": ("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline", "StableDiffusionXLInpaintPipeline"),
    "sd3": ("StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline", "StableDiffusion3InpaintPipeline"),
    "sd3_without_t5": ("StableDiffusion3Pipeline", "", ""),
    "flux": ("FluxPipeline", "FluxImg2ImgPipeline", "FluxInpaintPipeline"),
    "schnell": ("FluxPipeline", "", ""),
}
FLOWS = ("sd3", "sd3_without_t5", "flux", "schnell")
CASES = [(name, place) for name, pipelines in PIPELINES.items() for place in range(3) if pipelines[place]]
LORAS = [(name, 3) for name, pipelines in PIPELINES.items() if all(pipelines)]
WHAT = ("text", "image", "inpaint", "lora")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root, made = tmp_path_factory.mktemp("families"), {}

    def of(name: str) -> Path:
        if name not in made:
            made[name] = make_family(root / name, name)
        return made[name]

    return of


@pytest.fixture(scope="module")
def families(registry: Any, make_bench: Any, folder: Callable[[str], Path]) -> Iterator[Any]:
    loras = folder("sd1").parent / "loras"
    loras.mkdir()
    models = [inspect(folder(name)) for name in PIPELINES]
    bench = make_bench(Catalog(registry, models, Loras(loras)), slots=4)
    yield bench
    bench.host.close()


@pytest.fixture(autouse=True)
def mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers takes a draw of the autoencoder's, we its mean."""
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mode())


def picture() -> Image.Image:
    rng = np.random.default_rng(5)
    return Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).resize((64, 64), Image.Resampling.BICUBIC)


def painted() -> Image.Image:
    mask = Image.new("L", (64, 64))
    mask.paste(255, (16, 16, 48, 40))  # along the latents' own edges: there diffusers rounds as we do
    return mask


def stored(bench: Any, image: Image.Image) -> str:
    from calotype.images.intake import encode

    return bench.store.put(encode(image.convert("RGB")))


def ours(bench: Any, name: str, what: str) -> tuple[torch.Tensor, torch.Tensor, list[float], Any]:
    """Latents, the picture, the noise levels that were gone through, and all that the model knows."""
    fields: dict[str, Any] = {
        "prompt": "a blue cat", "seed": 3, "steps": STEPS, "sampler": "euler", "guidance": 3.0, "model": name,
        "guidance_rescale": 0.0, "schedule": "simple" if name in FLOWS else "normal",
    }  # fmt: skip
    if what == "lora":
        fields["prompt"] += f" <lora:{name}_kohya:0.8> <lora:{name}_diffusers:-0.5>"
    elif what != "text":
        fields |= {"init_image": stored(bench, picture()), "strength": 0.75}
    if what == "inpaint":
        fields |= {"mask": stored(bench, painted())}
    model, assignment = bench.model(name), bench.assignment(**fields)
    request = assignment.request
    adapters = model.network.adapters
    loras = tuple((adapters.read(file, lora), weight) for lora, file, weight in assignment.loras)
    prompt, negative = TextEncoder().pair(model, request.prompt, request.negative_prompt, loras)
    start = StartEncoder().encode(model, assignment)
    given = dict(model.network.conditions(64, 64, 3.0))
    if start is not None and start.picture is not None:
        given["picture"] = start.picture
    denoiser = Denoiser(model, {**prompt.inputs, **given}, {**negative.inputs, **given}, 3.0, 0.0, loras)
    run = Run(assignment, 0, denoiser, start)
    while not run.done:
        assert tick([run]) == {}
    assert run.latents is not None
    levels = model.network.levels(run.shape)
    sigmas = list(assignment.schedule.sigmas(STEPS, levels, assignment.schedule_params))
    return run.latents, model.decode(run.latents), sigmas, levels


class Exact(diffusers.EulerDiscreteScheduler):  # type: ignore[misc]
    """diffusers finds the training step of a noise level in float32: it is given ours."""

    levels: Any

    def _sigma_to_t(self, sigma: Any, log_sigmas: Any) -> Any:
        return np.array(self.levels.t(float(sigma)))


def theirs(folder: Path, name: str, place: int, sigmas: list[float], levels: Any) -> tuple[torch.Tensor, torch.Tensor]:
    kind = getattr(diffusers, PIPELINES[name][place % 3])
    missing = {"text_encoder_3": None, "tokenizer_3": None} if name == "sd3_without_t5" else {}
    pipe = kind.from_pretrained(folder, local_files_only=True, **missing)
    pipe.set_progress_bar_config(disable=True)
    if name in FLOWS:  # its shift is in our levels already
        pipe.scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=1.0)
        sigmas = [sigma / (1 + sigma) for sigma in sigmas[:-1]]  # it adds the last one itself
    else:
        pipe.scheduler = Exact.from_config(pipe.scheduler.config, timestep_spacing="linspace")
        pipe.scheduler.levels = levels
    fields: dict[str, Any] = {
        "prompt": "a blue cat",
        "sigmas": sigmas,
        "guidance_scale": 3.0,
        "height": 64,
        "width": 64,
    }
    if name == "schnell":
        fields["max_sequence_length"] = 256
    if place == 3:
        merge(pipe, folder.parent / "loras", name)
    elif place > 0:
        fields |= {"image": picture(), "strength": 0.75, "num_inference_steps": STEPS}
    if place == 1 and name not in FLOWS:
        del fields["height"], fields["width"]
    if place == 2:
        fields["mask_image"] = painted()

    def run(output: str) -> Any:
        found = pipe(**fields, generator=torch.Generator().manual_seed(3), output_type=output).images
        return found

    latents = run("latent")
    if name in ("flux", "schnell"):
        latents = pipe._unpack_latents(latents, 64, 64, pipe.vae_scale_factor)
    return latents[0], torch.from_numpy(run("np")[0]).permute(2, 0, 1)


def merge(pipe: Any, loras: Path, name: str) -> None:
    """What the two files add, put into the pipeline's own weights: W + weight · alpha / rank · up · down."""
    for file, weight in ((f"{name}_kohya", 0.8), (f"{name}_diffusers", -0.5)):
        for part, path, delta in torch.load(loras / f"{file}.pt"):
            network = getattr(pipe, part)
            module = network.get_submodule(path)
            module.weight.data += weight * delta.reshape(module.weight.shape)


def write_loras(network: Any, loras: Path, name: str) -> None:
    """Two files, in kohya's format and in that of diffusers, for text encoders and the denoising network."""
    denoiser = "transformer" if name in FLOWS else "unet"
    parts = {denoiser: network.denoiser, **{reader: clip.encoder for reader, clip in network.readers().items()}}
    generator = torch.Generator().manual_seed(len(name))
    for style in ("kohya", "diffusers"):
        tensors, deltas = {}, []
        for part, module in parts.items():
            for path, layer in module.named_modules():
                weight = getattr(layer, "weight", None)
                attends = path.endswith(("to_q", "to_k", "to_v", "to_out.0", "q_proj", "v_proj"))
                if not attends and not path.endswith(("conv1", "time_emb_proj", "ff.net.0.proj")):
                    continue
                rank, alpha = 4, 2.0 if style == "kohya" else 4.0
                down = torch.randn(rank, *weight.shape[1:], generator=generator) * 0.1
                up = torch.randn(weight.shape[0], rank, *[1] * (weight.dim() - 2), generator=generator) * 0.1
                tensors |= named(style, part, path, down, up, alpha)
                deltas.append((part, path, alpha / rank * (up.flatten(1) @ down.flatten(1))))
        save_file(tensors, loras / f"{name}_{style}.safetensors")
        torch.save(deltas, loras / f"{name}_{style}.pt")


def named(
    style: str, part: str, path: str, down: torch.Tensor, up: torch.Tensor, alpha: float
) -> dict[str, torch.Tensor]:
    if style == "diffusers":
        return {f"{part}.{path}.lora_A.weight": down, f"{part}.{path}.lora_B.weight": up}
    starts = {"unet": "unet", "transformer": "transformer", "text_encoder": "te1", "text_encoder_2": "te2"}
    key = f"lora_{starts[part]}_{path.replace('.', '_')}"
    return {
        f"{key}.lora_down.weight": down,
        f"{key}.lora_up.weight": up,
        f"{key}.alpha": torch.tensor(alpha),
    }


@pytest.mark.parametrize(
    ("name", "place"), [*CASES, *LORAS], ids=[f"{name}-{WHAT[place]}" for name, place in [*CASES, *LORAS]]
)
def test_parity_of_family(families: Any, folder: Callable[[str], Path], name: str, place: int) -> None:
    if place == 3:
        write_loras(families.model(name).network, folder(name).parent / "loras", name)
    latents, image, sigmas, levels = ours(families, name, WHAT[place])
    other, reference = theirs(folder(name), name, place, sigmas, levels)
    assert float((latents - other).abs().max() / other.std()) < TOLERANCE
    if (name, WHAT[place]) != ("sd3", "inpaint"):  # diffusers 0.42 forgets the autoencoder's shift there
        assert float((image - reference).abs().max()) < TOLERANCE


def test_parity_is_stated_for_every_family(families: Any) -> None:
    assert {model.family for model in families.catalog.models.values()} == {family.name for family in BUNDLED}


def test_the_readme_says_what_is_tested_here() -> None:
    assert families_table.written() == families_table.table({(name, WHAT[place]) for name, place in [*CASES, *LORAS]})
