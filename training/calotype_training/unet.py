"""``make train``, last part: the U-Net.

Velocity prediction (Salimans & Ho 2022) on a scaled-linear schedule with zero terminal signal (Lin et al. 2023), AdamW,
an exponential moving average, 10 % empty captions for guidance (Ho & Salimans 2022). On a CPU one process a core, each
with one thread, whose weights are averaged every few steps (local SGD, Stich 2019): on shared cores two threads of one
process wait for each other. On a GPU one process.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import distributed, nn
from torch.multiprocessing.spawn import ProcessExitedException, ProcessRaisedException, spawn
from torch.utils.data import DataLoader, IterableDataset

from calotype.home import cores
from calotype_training.checkpoints import read_checkpoint, save_checkpoint
from calotype_training.dataset import Dataset
from calotype_training.errors import TrainingError
from calotype_training.latents import CHANNELS, LatentMap, as_tensor, latent_map
from calotype_training.learning import learn
from calotype_training.pictures import Composer
from calotype_training.progress import Progress
from calotype_training.sheet import sheet
from calotype_training.text import WIDTH, TextEncoder

SCHEDULER: Final = {
    "num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.02, "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction", "rescale_betas_zero_snr": True, "timestep_spacing": "trailing",
    "clip_sample": False, "set_alpha_to_one": True, "steps_offset": 1,
}  # fmt: skip
_RATE: Final = 8e-4
_DROPOUT: Final = 0.1
_EMA: Final = 0.999
_AVERAGE_EVERY: Final = 8
_CHECKPOINT_EVERY: Final = 180.0
_SHEET_EVERY: Final = 600.0


@dataclass(frozen=True)
class Plan:
    """How long and how large. ``minutes`` is one whole run, its learning rate falling to nothing at the end."""

    home: Path
    minutes: float
    slice_minutes: float = float("inf")
    """Stop after so long, to go on later in the same run."""
    batch: int = 0
    """Pictures a step and process; 0 is 32 on a CPU, 512 on a GPU."""
    channels: tuple[int, int, int] = (64, 128, 224)

    @property
    def checkpoint(self) -> Path:
        """Where the state is kept."""
        return self.home / "unet.pt"


def build_unet(channels: tuple[int, ...]) -> Any:
    """A fresh UNet2DConditionModel for 16 × 16 × 12 latents, with plain attention."""
    from diffusers import UNet2DConditionModel
    from diffusers.models.attention_processor import AttnProcessor

    unet = UNet2DConditionModel(
        sample_size=16, in_channels=CHANNELS, out_channels=CHANNELS, block_out_channels=channels, layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), cross_attention_dim=WIDTH,
        attention_head_dim=tuple(max(1, width // 32) for width in channels), norm_num_groups=16,
    )  # fmt: skip
    # the fused kernel takes a third of a training step on a CPU with bfloat16, this one a twentieth
    unet.set_attn_processor(AttnProcessor())
    return unet


class Stream(IterableDataset[tuple[np.ndarray, str]]):
    """Training pictures without end, others for every worker and every leg of a run."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        self._dataset, self._seed = dataset, seed

    def __iter__(self) -> Iterator[tuple[np.ndarray, str]]:
        """Pictures and captions, 10 % of them empty."""
        worker = torch.utils.data.get_worker_info()
        rng = random.Random(self._seed * 1009 + (worker.id if worker else 0))
        composer = Composer(self._dataset, rng)
        while True:
            picture, caption = composer.sample()
            yield picture, "" if rng.random() < _DROPOUT else caption


def train_unet(dataset: Dataset, plan: Plan) -> None:
    """Train, or go on where a kill or the end of a slice left it. Raises :class:`TrainingError`."""
    if torch.cuda.is_available():
        _work(0, 1, dataset, plan, "")
        return
    processes = min(4, cores())
    latent_map(dataset, plan.home)  # made once, not by every process at the same time
    with tempfile.TemporaryDirectory() as meeting:
        args = (processes, dataset, plan, f"file://{meeting}/store")
        try:
            spawn(_work, args, nprocs=processes)  # type: ignore[no-untyped-call]
        except (ProcessRaisedException, ProcessExitedException) as error:
            fault = Path(meeting) / "fault"
            if fault.exists():  # the error at hand may be the other process's, which lost its connection
                raise TrainingError(fault.read_text("utf-8")) from error
            said = str(error).strip().splitlines()[-1]
            raise TrainingError(f"U-Net: {said}; the last checkpoint is intact, run it again to go on") from error


def _work(rank: int, processes: int, dataset: Dataset, plan: Plan, meeting: str) -> None:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(1)
    if processes > 1:
        distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=processes)
    try:
        latents = latent_map(dataset, plan.home)
        text = TextEncoder(plan.home / "text", device, half=True)
        Worker(rank, processes, plan, dataset, latents, text, device).run()
    except TrainingError as error:
        if meeting:
            Path(meeting.removeprefix("file://")).with_name("fault").write_text(str(error), "utf-8")
        raise
    finally:
        if processes > 1:
            distributed.destroy_process_group()


class Worker:
    """One process of the training; the first one keeps the average, saves and reports."""

    def __init__(
        self, rank: int, processes: int, plan: Plan, dataset: Dataset, latents: LatentMap, text: TextEncoder,
        device: torch.device,
    ) -> None:  # fmt: skip
        torch.manual_seed(11)
        self._rank, self._processes, self._plan, self._device = rank, processes, plan, device
        self._latents, self._text = latents, text
        self._unet = build_unet(plan.channels).to(device)
        self._ema = deepcopy(self._unet).requires_grad_(False).eval()
        self._optimizer = torch.optim.AdamW(
            self._unet.parameters(), _RATE, betas=(0.9, 0.99), weight_decay=0.01, fused=True
        )
        self._parent = os.getppid()
        self._step = self._seen = self._leg = 0
        self._elapsed = self._before = 0.0
        self._load()
        batch = plan.batch or (512 if device.type == "cuda" else 32)
        loaders = max(1, (os.cpu_count() or 2) - 2) if device.type == "cuda" else 0
        seed = (self._leg * 1_000_003 + self._step) * 64 + rank
        self._batch = batch
        self._data = iter(DataLoader(Stream(dataset, seed), batch, num_workers=loaders, collate_fn=_collated))
        self._alphas = _alphas().to(device)
        torch.manual_seed(seed)

    def run(self) -> None:
        """To the end of the run or slice."""
        started, saved, shown = time.monotonic(), time.monotonic(), time.monotonic()
        budget = self._plan.minutes * 60
        progress = Progress(f"U-Net, run {self._leg + 1}, seconds", round(budget), round(self._before), every=20.0)
        first_seen, loss = self._seen, 0.0
        while True:
            if self._step % _AVERAGE_EVERY == 0:
                if os.getppid() != self._parent:  # else it would train on, and write over the next one's checkpoints
                    raise TrainingError("U-Net: the process that began it has ended; run it again to go on")
                self._elapsed = self._agreed(self._before + time.monotonic() - started)
                self._average()
                over = self._elapsed >= min(budget, self._before + self._plan.slice_minutes * 60)
                now = time.monotonic()
                if self._rank == 0 and (over or now - saved > _CHECKPOINT_EVERY):
                    self._save(finished=self._elapsed >= budget)
                    saved = now
                if self._rank == 0 and (over or now - shown > _SHEET_EVERY):
                    sheet(self._ema, self._text, self._latents, self._plan.home / "sheets" / f"{self._seen:09d}.png")
                    shown = time.monotonic()
                if over:
                    return
            loss = 0.98 * loss + 0.02 * self._learn() if loss else self._learn()
            if self._rank == 0:
                rate = (self._seen - first_seen) / (time.monotonic() - started)
                progress.show(round(self._elapsed), f"{rate:.0f} pictures/s, {self._seen:,} in all, loss {loss:.4f}")

    def _learn(self) -> float:
        """One step; its loss."""
        pictures, captions = next(self._data)
        z = self._latents_of(pictures)
        conditioning = self._text(captions)
        t = _times(len(z)).to(self._device)
        alpha = self._alphas[t].view(-1, 1, 1, 1)
        noise = torch.randn_like(z)
        noised = alpha.sqrt() * z + (1 - alpha).sqrt() * noise
        velocity = alpha.sqrt() * noise - (1 - alpha).sqrt() * z
        with torch.autocast(self._device.type, torch.bfloat16):
            predicted = self._unet(noised, t, encoder_hidden_states=conditioning, return_dict=False)[0]
        loss = (predicted.float() - velocity).pow(2).mean()
        share = self._elapsed / (self._plan.minutes * 60)
        rate = _RATE * min(1.0, (self._step + 1) / 200) * min(1.0, max(0.01, (1 - share) / 0.4))
        value = learn("U-Net", loss, self._unet, self._optimizer, self._step, rate)
        self._step += 1
        self._seen += self._batch * self._processes
        return value

    def _latents_of(self, pictures: torch.Tensor) -> torch.Tensor:
        return self._latents.encode(pictures).to(self._device)

    @torch.no_grad()
    def _average(self) -> None:
        """All processes' weights become their mean; the first one's moving average follows."""
        if self._processes > 1:
            flat = nn.utils.parameters_to_vector(self._unet.parameters())
            distributed.all_reduce(flat)
            nn.utils.vector_to_parameters(flat / self._processes, self._unet.parameters())
        if self._rank == 0:
            decay = min(_EMA, (1 + self._step) / (10 + self._step)) ** _AVERAGE_EVERY
            for kept, new in zip(self._ema.parameters(), self._unet.parameters(), strict=True):
                kept.lerp_(new, 1 - decay)

    def _agreed(self, seconds: float) -> float:
        """The first process's clock: all end at the same step."""
        told = torch.tensor([seconds], dtype=torch.float64)
        if self._processes > 1:
            distributed.broadcast(told, 0)
        return float(told)

    def _save(self, finished: bool) -> None:
        save_checkpoint(
            self._plan.checkpoint, self._unet, self._optimizer, self._step, ema=self._ema.state_dict(),
            seen=self._seen, elapsed=self._elapsed, leg=self._leg, finished=finished,
            channels=list(self._plan.channels),
        )  # fmt: skip

    def _load(self) -> None:
        state = read_checkpoint(self._plan.checkpoint)
        if state is None:
            return
        if tuple(state["channels"]) != self._plan.channels:
            raise TrainingError(
                f"{self._plan.checkpoint} is of a U-Net with channels {state['channels']}; remove it to start anew"
            )
        self._unet.load_state_dict(state["model"])
        self._ema.load_state_dict(state["ema"])
        if state["optimizer"] is not None:  # shards leave it out
            self._optimizer.load_state_dict(state["optimizer"])
        self._step, self._seen = int(state["step"]), int(state["seen"])
        # a finished run is the beginning of the next one
        self._leg = int(state["leg"]) + bool(state["finished"])
        self._before = self._elapsed = 0.0 if state["finished"] else float(state["elapsed"])


def _collated(samples: list[tuple[np.ndarray, str]]) -> tuple[torch.Tensor, list[str]]:
    return as_tensor([picture for picture, _ in samples]), [caption for _, caption in samples]


def _times(count: int) -> torch.Tensor:
    """(N,) training steps, spread evenly over their distribution, so that every batch sees all noise levels.

    Three in ten are uniform, the others logit-normal (Esser et al. 2024): most of them where a picture takes shape.
    """
    places = (torch.randperm(count) + torch.rand(count)) / count
    shaped = torch.sigmoid(torch.special.ndtri(places.clamp(1e-4, 1 - 1e-4)) - 0.1)
    return (torch.where(torch.rand(count) < 0.3, places, shaped) * 1000).long().clamp(0, 999)


def _alphas() -> torch.Tensor:
    """Cumulative alphas of the 1,000 training steps; the last is zero."""
    from diffusers import DDIMScheduler

    alphas: torch.Tensor = DDIMScheduler(**SCHEDULER).alphas_cumprod.float()
    return alphas
