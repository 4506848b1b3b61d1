"""Loads a Stable Diffusion folder: its parts, its noise levels, the sha256 of what was loaded."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch

from calotype.checkpoint import ModelInfo, weights
from calotype.engine import memory
from calotype.engine.exact import CANDIDATES, fix_small_linears, probe_buckets
from calotype.engine.hints import Encode, Hints, hints_of
from calotype.engine.levels import TrainedLevels
from calotype.engine.previews import Projection
from calotype.errors import ModelError, SetupError

PROBE_LIMIT: Final = 2e10
"""Parameters × latent pixels up to which row counts are probed on a CPU. Above, one picture a call fills the
machine: batching gains nothing there, and a probe would take minutes."""
log = logging.getLogger(__name__)

Shape = tuple[int, int, int]
"""(C, H, W) of latents."""


@dataclass
class LoadedModel:
    """A model in memory, float32, in evaluation mode, on one device. Shared by every job; never changed."""

    info: ModelInfo
    sha256: str
    device: torch.device
    levels: TrainedLevels
    unet: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    projection: Projection
    hints: Hints | None = None
    """None if its folder does not say what it was taught."""
    _buckets: dict[tuple[Shape, int], tuple[int, ...]] = field(default_factory=dict)
    _row_bytes: dict[tuple[Shape, int], float] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes that its weights take."""
        parts = (self.unet, self.vae, self.text_encoder)
        tensors = [tensor for part in parts for tensor in (*part.parameters(), *part.buffers())]
        return sum(tensor.numel() * tensor.element_size() for tensor in tensors)

    def latent_shape(self, width: int, height: int) -> Shape:
        """(C, H, W) of the latents of a picture of ``width`` × ``height`` pixels."""
        return (self.info.latent_channels, height // self.info.vae_scale, width // self.info.vae_scale)

    @torch.inference_mode()
    def predict(self, x: torch.Tensor, t: torch.Tensor, conditioning: torch.Tensor) -> torch.Tensor:
        """One call of the U-Net: (N, C, H, W), (N,) training steps, (N, T, D) → (N, C, H, W), float32, on the CPU."""
        args = (x.to(self.device), t.to(self.device), conditioning.to(self.device))
        out: torch.Tensor = self.unet(args[0], args[1], encoder_hidden_states=args[2], return_dict=False)[0]
        return out.float().cpu()

    @torch.inference_mode()
    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """(C, H, W) latents → (3, H, W) RGB in 0 … 1, float32, on the CPU. One picture at a time, to stay exact."""
        z = latents.unsqueeze(0).to(self.device) / self.vae.config.scaling_factor
        shift = getattr(self.vae.config, "shift_factor", None) or 0.0
        rgb: torch.Tensor = self.vae.decode(z + shift, return_dict=False)[0][0]
        return (rgb.float().cpu() / 2 + 0.5).clamp(0, 1)

    @torch.inference_mode()
    def encode(self, rgb: torch.Tensor) -> torch.Tensor:
        """(3, H, W) RGB in 0 … 1 → (C, H, W) latents, float32, on the CPU: the inverse of :meth:`decode`.

        A variational autoencoder's mean is taken, not a draw. One picture at a time, to stay exact.
        """
        encoded = self.vae.encode(rgb.unsqueeze(0).to(self.device) * 2 - 1)
        z: torch.Tensor = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
        shift = getattr(self.vae.config, "shift_factor", None) or 0.0
        latents: torch.Tensor = (z[0] - shift) * self.vae.config.scaling_factor
        return latents.float().cpu()

    def knows(self, shape: Shape, tokens: int) -> bool:
        """Whether :meth:`buckets` answers at once."""
        return (shape, tokens) in self._buckets

    def buckets(self, shape: Shape, tokens: int | None = None) -> tuple[int, ...]:
        """Row counts of a model call that agree bit for bit for this latent shape and length of the conditioning.

        () if every picture needs calls of its own. ``tokens`` is one window of the text encoder's unless said
        otherwise. Measured at the first ask, and how much memory a row takes with it.
        """
        key = shape, tokens or self.info.tokens
        if key not in self._buckets:
            started = time.perf_counter()
            found = self._probe(*key)
            if found:
                self._row_bytes[key] = self._measure(*key)
            took = time.perf_counter() - started
            self._buckets[key] = found
            told = f"row counts {found} agree" if found else "no row counts agree: pictures do not share calls"
            log.debug("%s, latents %s, %d tokens, %.1f s: %s", self.info.name, shape, key[1], took, told)
        return self._buckets[key]

    def fitting(self, shape: Shape, tokens: int | None = None) -> tuple[int, ...]:
        """Those :meth:`buckets` whose calls take no more than their share of the memory that is free now.

        At least the smallest: somebody has to be served, and a call that fails after all is halved.
        """
        buckets, row = self.buckets(shape, tokens), self._row_bytes.get((shape, tokens or self.info.tokens), 0.0)
        allowed = memory.CALL_SHARE * memory.free(self.device)
        return tuple(rows for rows in buckets if rows * row <= allowed) or buckets[:1]

    def _measure(self, shape: Shape, tokens: int) -> float:
        """Bytes that a call takes for each row; if not even two rows fit now, all that is free."""
        inputs = self._samples(shape, tokens)
        try:
            self.predict(*inputs)  # the first call of a kind takes more, once
            return memory.peak(self.device, lambda: self.predict(*inputs)) / len(inputs[0])
        except torch.OutOfMemoryError:
            return float(memory.free_now(self.device))

    def _probe(self, shape: Shape, tokens: int) -> tuple[int, ...]:
        if self.device.type != "cpu":
            return CANDIDATES  # no promise of equal bits there; a few shapes keep its caches warm
        if self.info.parameters * shape[1] * shape[2] > PROBE_LIMIT:
            return ()
        x, t, conditioning = self._samples(shape, tokens)
        return probe_buckets(lambda rows: self.predict(x[rows], t[rows], conditioning[rows]))

    def _samples(self, shape: Shape, tokens: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Two rows of something: arguments of :meth:`predict`."""
        generator = torch.Generator().manual_seed(0)
        x = torch.randn((2, *shape), generator=generator)
        t = torch.rand(2, generator=generator) * self.levels.steps
        width = int(self.unet.config.cross_attention_dim)
        return x, t, torch.randn((2, tokens, width), generator=generator)


def load(info: ModelInfo, device: torch.device) -> LoadedModel:
    """Read a model folder into memory. Raises :class:`ModelError` in one line if it does not fit together."""
    from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
    from diffusers.utils import logging as diffusers_logging
    from transformers import CLIPTextModel, CLIPTokenizer
    from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    diffusers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    folder = info.folder
    started = time.perf_counter()
    try:
        config = json.loads((folder / "vae" / "config.json").read_text("utf-8"))
        vae_class = AutoencoderTiny if config.get("_class_name") == "AutoencoderTiny" else AutoencoderKL
        unet = _part(UNet2DConditionModel, folder / "unet", device)
        vae = _part(vae_class, folder / "vae", device)
        text_encoder = (
            CLIPTextModel.from_pretrained(
                folder / "text_encoder", local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
            .eval()
            .to(device)
        )
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
        levels = TrainedLevels.from_config(
            json.loads((folder / "scheduler" / "scheduler_config.json").read_text("utf-8"))
        )
        width = text_encoder.config.hidden_size
        if width != unet.config.cross_attention_dim:
            taken = unet.config.cross_attention_dim
            raise ModelError(f"model: {info.name}: the text encoder is {width} wide, the U-Net takes {taken}")
    except ModelError:
        raise
    except Exception as error:  # the libraries raise anything at all for a bad file; the log keeps the traceback
        log.exception("model %s could not be loaded", folder)
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise ModelError(f"model: {info.name} could not be loaded: {first_line}") from error
    fix_small_linears(unet)
    projection = Projection.fit(vae, info.latent_channels, info.vae_scale, device)
    hints = hints_of(info.vocabulary, _pooled(info, tokenizer, text_encoder, device), info.name)
    log.info("loaded %s on %s in %.1f s", info.name, device, time.perf_counter() - started)
    return LoadedModel(info, _hash(info), device, levels, unet, vae, text_encoder, tokenizer, projection, hints)


def resolve_device(wanted: str) -> torch.device:
    """``auto`` is the best there is. Raises :class:`SetupError` for one that this machine does not have."""
    have = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if have[name]))
    if not have[wanted]:
        there = ", ".join(name for name, present in have.items() if present)
        raise SetupError(f"CALOTYPE_DEVICE: {wanted} is not available to this PyTorch; use auto or {there}")
    return torch.device(wanted)


def _part(kind: Any, folder: Path, device: torch.device) -> Any:
    loaded = kind.from_pretrained(
        folder,
        local_files_only=True,
        use_safetensors=True,
        low_cpu_mem_usage=False,  # otherwise it asks for a further package
    )
    return loaded.float().eval().requires_grad_(False).to(device)


def _pooled(info: ModelInfo, tokenizer: Any, text_encoder: Any, device: torch.device) -> Encode:
    """The text encoder as :class:`Hints` needs it: its output at the end token."""

    @torch.inference_mode()
    def encode(phrases: Sequence[str]) -> torch.Tensor:
        tokens = tokenizer(list(phrases), padding=True, truncation=True, max_length=info.tokens, return_tensors="pt")
        pooled: torch.Tensor = text_encoder(tokens["input_ids"].to(device)).pooler_output
        return pooled.float().cpu()

    return encode


def _hash(info: ModelInfo) -> str:
    """sha256 over the weights, configurations and words that shape a picture, in a fixed order."""
    folder = info.folder
    files = [weights(folder, part) for part in ("unet", "vae", "text_encoder")]
    files += [folder / part / "config.json" for part in ("unet", "vae", "text_encoder")]
    files += [folder / "scheduler" / "scheduler_config.json", *sorted((folder / "tokenizer").iterdir())]
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
