"""Family: a kind of checkpoint. How it is recognised, what is in it, how it is run. No torch until it is loaded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from calotype.errors import ModelError
from calotype.families.folder import Folder
from calotype.request import GUIDANCE_LIMIT, STEPS_LIMIT

if TYPE_CHECKING:
    import torch

    from calotype.families.network import Network

Guidance = Literal["pair", "input", "none"]
"""How a guidance scale is used: two rows of a call (classifier-free guidance, Ho & Salimans 2022), an input of a model
that was distilled from such pairs, or not at all."""


class Defaults(BaseModel):
    """Settings a model looks best with, for whatever a request leaves open."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(default=20, ge=1, le=STEPS_LIMIT)
    sampler: str = "dpmpp_2m"
    schedule: str = "karras"
    guidance: float = Field(default=7.0, ge=1, le=GUIDANCE_LIMIT)
    guidance_rescale: float = Field(default=0.0, ge=0, le=1)
    strength: float = Field(default=0.7, gt=0, le=1)


@dataclass(frozen=True)
class Facts:
    """What a family reads from a folder."""

    parts: Sequence[str]
    """Folders that hold weights, the denoising network first, the autoencoder second."""
    words: Sequence[str]
    """Folders of the tokenizers."""
    prediction: str
    latent_channels: int
    vae_scale: int
    """Pixels a side of one latent."""
    tokens: int
    """Tokens that are read of a prompt at once."""
    native: int
    """Pixels a side of the pictures that it was trained with."""
    text_width: int
    """Width of the text that its denoising network attends to; what tells whether a LoRA may fit."""
    patch: int = 1
    """Latents a side that the network takes together: sides are multiples of this times ``vae_scale`` pixels."""
    guidance: Guidance = "pair"
    inpaints: bool = False
    """Whether it takes the mask and the masked picture as further channels."""
    defaults: Defaults = field(default_factory=Defaults)


class Family(ABC):
    """One kind of checkpoint. Stateless."""

    name: ClassVar[str]
    """Lower case, unique: it stands in every record."""
    label: ClassVar[str]
    """How a person reads it."""
    pipelines: ClassVar[tuple[str, ...]]
    """Names of diffusers' pipeline classes in ``model_index.json`` that such a folder may have."""

    def recognises(self, folder: Folder) -> bool:
        """Whether it is one of these, by the pipeline's name unless a family needs to look closer."""
        return folder.pipeline in self.pipelines

    @abstractmethod
    def describe(self, folder: Folder) -> Facts:
        """What is in the folder; no torch. Raises :class:`ModelError`, or KeyError for what a config lacks."""

    @abstractmethod
    def load(self, folder: Path, facts: Facts, device: torch.device) -> Network:
        """Read it into memory, float32, in evaluation mode. May raise whatever the libraries do for a bad file."""


def vae_scale(config: dict[str, Any]) -> int:
    """Pixels a side of one latent of an autoencoder, by its ``config.json``."""
    blocks: Sequence[int] = config.get("block_out_channels") or config["decoder_block_out_channels"]
    return int(2 ** (len(blocks) - 1))


def family_of(folder: Folder, families: Sequence[Family]) -> Family:
    """The first that recognises it. Raises :class:`ModelError`."""
    for family in families:
        if family.recognises(folder):
            return family
    known = ", ".join(dict.fromkeys(name for family in families for name in family.pipelines))
    raise ModelError(f"model: {folder.path} is a {folder.pipeline!r}; supported are {known}")
