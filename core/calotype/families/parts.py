"""Parts of a checkpoint, read by the libraries that know their classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def quiet() -> None:
    """The libraries' own bars and warnings are nothing for our log."""
    from diffusers.utils import logging as diffusers_logging
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


def tokenizer(kind: Any, folder: Path) -> Any:
    """A transformers tokenizer."""
    return kind.from_pretrained(folder, local_files_only=True)
