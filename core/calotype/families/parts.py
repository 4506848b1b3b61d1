"""Parts of a checkpoint, read by the libraries that know their classes."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Final

import torch

from calotype.families.clip import Clip

_IMPORTING: Final = threading.Lock()


def quiet() -> None:
    """Imports what every model needs; the libraries' own bars and warnings are nothing for our log.

    One thread at a time: their lazy imports do not bear two, of an engine that starts and of a file that is converted.
    """
    with _IMPORTING:
        from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel  # noqa: F401
        from diffusers.utils import logging as diffusers_logging
        from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer  # noqa: F401
        from transformers.utils import logging as transformers_logging

    diffusers_logging.disable_progress_bar()
    diffusers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()


def network(kind: Any, folder: Path, device: torch.device) -> Any:
    """A diffusers class with its weights."""
    loaded = kind.from_pretrained(
        folder,
        local_files_only=True,
        use_safetensors=True,
        low_cpu_mem_usage=False,  # otherwise it asks for a further package
    )
    return loaded.float().eval().requires_grad_(False).to(device)


def text_encoder(kind: Any, folder: Path, device: torch.device) -> Any:
    """A transformers class with its weights."""
    loaded = kind.from_pretrained(folder, local_files_only=True, use_safetensors=True, dtype=torch.float32)
    return loaded.eval().requires_grad_(False).to(device)


def clip(
    folder: Path,
    which: str,
    kind: Any,
    window: int | None,
    device: torch.device,
    *,
    penultimate: bool = False,
    one_window: bool = False,
) -> Clip:
    """The text encoder whose name ends so, with its words. ``window`` None: as long as its ``config.json`` says."""
    from transformers import CLIPTokenizer

    encoder = text_encoder(kind, folder / f"text_encoder{which}", device)
    words = tokenizer(CLIPTokenizer, folder / f"tokenizer{which}")
    tokens = window or int(encoder.config.max_position_embeddings)
    return Clip(words, encoder, tokens, device, penultimate=penultimate, one_window=one_window)


def tokenizer(kind: Any, folder: Path) -> Any:
    """A transformers tokenizer."""
    return kind.from_pretrained(folder, local_files_only=True)
