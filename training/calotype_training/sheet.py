"""Sample sheets: what the model draws right now, to be looked at while it trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch
from PIL import Image, ImageDraw

from calotype_training.home import write_whole
from calotype_training.latents import LatentMap
from calotype_training.text import TextEncoder

PROMPTS: Final = (
    "cat", "dog", "house", "car", "apple", "tree", "pizza", "rocket", "blue cat", "purple fox",
    "owl with a crown", "small kitty, flat style", "sunflower", "guitar", "chair", "book",
    "penguin, 3d style", "dog and pizza", "red fish on a yellow background", "pixel portrait of a woman with red hair",
    "castle, pixel style", "two birds", "happy face", "robot with sunglasses",
)  # fmt: skip
GUIDANCE: Final = 4.0
RESCALE: Final = 0.5


@torch.inference_mode()
def sample(
    unet: Any,
    text: TextEncoder,
    prompts: list[str],
    seeds: list[int],
    *,
    steps: int = 20,
    guidance: float = GUIDANCE,
    guidance_rescale: float = RESCALE,
) -> torch.Tensor:
    """(N, 12, 16, 16) latents by DDIM, guidance rescaled as in the engine. One seed a prompt."""
    from diffusers import DDIMScheduler

    from calotype_training.unet import SCHEDULER

    scheduler = DDIMScheduler(**SCHEDULER)
    scheduler.set_timesteps(steps)
    device = next(unet.parameters()).device
    shape = (unet.config.in_channels, unet.config.sample_size, unet.config.sample_size)
    x = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]).to(device)
    conditioning = torch.cat([text([""] * len(prompts)), text(prompts)])
    for t in scheduler.timesteps:
        doubled, times = torch.cat([x, x]), torch.full((2 * len(x),), int(t), device=device)
        with torch.autocast(device.type, torch.bfloat16):
            both = unet(doubled, times, encoder_hidden_states=conditioning, return_dict=False)[0].float()
        without, wanted = both.chunk(2)
        output = without + guidance * (wanted - without)
        spread = wanted.std((1, 2, 3), keepdim=True) / output.std((1, 2, 3), keepdim=True)
        output = guidance_rescale * output * spread + (1 - guidance_rescale) * output
        x = scheduler.step(output, t, x).prev_sample
    return x


def sheet(unet: Any, text: TextEncoder, latents: LatentMap, path: Path) -> None:
    """Two seeds of every prompt as one picture at ``path``."""
    prompts = [prompt for prompt in PROMPTS for _ in range(2)]
    drawn = sample(unet, text, prompts, [100 + number for number in range(len(prompts))]).cpu()
    rgb = ((latents.decode(drawn) + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    tiles = [Image.fromarray(picture).resize((96, 96), Image.Resampling.BICUBIC) for picture in rgb]
    write_whole(path, lambda part: contact_sheet(tiles, prompts, 12).save(part, "PNG"))


def contact_sheet(tiles: list[Image.Image], captions: list[str], columns: int) -> Image.Image:
    """Tiles of one size in rows, the caption below each."""
    side, rows = tiles[0].width, -(-len(tiles) // columns)
    page = Image.new("RGB", (columns * (side + 6), rows * (side + 20)), "white")
    pen = ImageDraw.Draw(page)
    for number, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        x, y = number % columns * (side + 6), number // columns * (side + 20)
        page.paste(tile, (x, y))
        pen.text((x, y + side + 2), caption[: side // 6], fill="black")
    return page
