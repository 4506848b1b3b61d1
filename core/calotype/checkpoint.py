"""What a model folder holds, read from its JSON files and safetensors headers: no torch, milliseconds.

A diffusers folder is enough. A file ``calotype.json`` beside ``model_index.json`` may add a name, the sizes the
model was trained for, its best settings and examples; every key of it is optional. A file ``vocabulary.json`` may say
what it was taught (see :mod:`calotype.vocabulary`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from calotype.errors import BadRequest, ModelError
from calotype.request import GUIDANCE_LIMIT, SIDE_LIMIT, STEPS_LIMIT, problems
from calotype.vocabulary import Vocabulary

EMBEDDED: Final = Path(__file__).parent / "embedded"
"""The small model that ships with Calotype."""

_FAMILIES: Final = {"StableDiffusionPipeline": "sd1"}
_PREDICTIONS: Final = ("epsilon", "v_prediction", "sample")
_PARTS: Final = ("unet", "vae", "text_encoder")
SD15_PARAMETERS: Final = 859_520_964
"""Parameters of Stable Diffusion 1.5's U-Net: the unit of a model's cost."""


_Side = Annotated[int, Field(ge=8, le=SIDE_LIMIT, multiple_of=8)]


class Defaults(BaseModel):
    """Settings a model looks best with, for whatever a request leaves open."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(default=20, ge=1, le=STEPS_LIMIT)
    sampler: str = "dpmpp_2m"
    schedule: str = "karras"
    guidance: float = Field(default=7.0, ge=1, le=GUIDANCE_LIMIT)
    guidance_rescale: float = Field(default=0.0, ge=0, le=1)
    strength: float = Field(default=0.7, gt=0, le=1)


class _Card(BaseModel):
    """``calotype.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$")
    title: str | None = None
    defaults: Defaults = Defaults()
    sizes: tuple[tuple[_Side, _Side], ...] = ()
    postprocess: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelInfo:
    """A model that can be asked for. Sizes are (width, height) in the model's own pixels."""

    name: str
    title: str
    folder: Path
    family: str
    prediction: str
    latent_channels: int
    vae_scale: int
    """Pixels a side of one latent."""
    tokens: int
    """Tokens the text encoder reads at once."""
    parameters: int
    """Of the U-Net: what a model call costs."""
    default_size: tuple[int, int]
    sizes: tuple[tuple[int, int], ...]
    """Sizes it was trained for. If ``fixed_sizes``, no other is accepted."""
    fixed_sizes: bool
    side_limits: tuple[int, int]
    defaults: Defaults
    postprocess: tuple[str, ...]
    """Post-processors that run unless a request switches them off."""
    examples: tuple[str, ...]
    vocabulary: Vocabulary | None = None
    """What it was taught, if its folder says so."""

    @property
    def relative_cost(self) -> float:
        """Cost of a model call and megapixel against Stable Diffusion 1.5's."""
        return self.parameters / SD15_PARAMETERS

    def check_size(self, width: int, height: int) -> None:
        """Raise :class:`BadRequest` unless the model can make a picture of this size."""
        if (width, height) in self.sizes:
            return
        if self.fixed_sizes:
            listed = ", ".join(f"{w}x{h}" for w, h in self.sizes)
            raise BadRequest.of("width, height", f"{width}x{height} is not a size of model {self.name}; use {listed}")
        low, high = self.side_limits
        for field, side in (("width", width), ("height", height)):
            if not low <= side <= high or side % self.vae_scale:
                message = f"{side} is not a multiple of {self.vae_scale} from {low} to {high} (model {self.name})"
                raise BadRequest.of(field, message)


def inspect(folder: Path, name: str | None = None) -> ModelInfo:
    """Read what is in ``folder``. Raises :class:`ModelError` in one line if it cannot be a model we run."""
    if not folder.is_dir():
        raise ModelError(f"model: {folder} is not a folder; give the path of a diffusers model folder")
    index = _json(folder, "model_index.json")
    family = _FAMILIES.get(str(index.get("_class_name")))
    if family is None:
        known = ", ".join(_FAMILIES)
        raise ModelError(f"model: {folder} is a {index.get('_class_name')!r}; supported are {known}")
    counts = {part: _count_parameters(weights(folder, part)) for part in _PARTS}
    unet, vae, text = (_json(folder, f"{part}/config.json") for part in _PARTS)
    schedule = _json(folder, "scheduler/scheduler_config.json")
    if not (folder / "tokenizer").is_dir():
        raise ModelError(f"model: {folder} has no folder 'tokenizer'; it is not a complete diffusers folder")
    card, vocabulary = _card(folder), _vocabulary(folder)
    prediction = str(schedule.get("prediction_type", "epsilon"))
    if prediction not in _PREDICTIONS:
        raise ModelError(f"model: {folder} predicts {prediction!r}; supported are {', '.join(_PREDICTIONS)}")
    try:
        if unet["in_channels"] != unet["out_channels"]:
            raise ModelError(
                f"model: {folder} takes {unet['in_channels']} channels; inpainting models are not supported"
            )
        scale = 2 ** (len(vae.get("block_out_channels") or vae["decoder_block_out_channels"]) - 1)
        native = int(unet["sample_size"]) * scale
        return ModelInfo(
            name=name or card.name or folder.resolve().name,
            title=card.title or name or folder.resolve().name,
            folder=folder.resolve(),
            family=family,
            prediction=prediction,
            latent_channels=int(unet["in_channels"]),
            vae_scale=scale,
            tokens=int(text["max_position_embeddings"]),
            parameters=counts["unet"],
            default_size=card.sizes[0] if card.sizes else (native, native),
            sizes=card.sizes or ((native, native),),
            fixed_sizes=bool(card.sizes),
            side_limits=(max(8 * scale, native // 4), native * 2),
            defaults=card.defaults,
            postprocess=card.postprocess,
            examples=card.examples,
            vocabulary=vocabulary,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"model: {folder} has a config.json without what is needed: {error!r}") from None


def weights(folder: Path, part: str) -> Path:
    """The safetensors file of one part. Pickle files are never read."""
    found = sorted((folder / part).glob("*.safetensors"))
    if found:  # the full-precision file where there is an fp16 variant beside it
        return min(found, key=lambda path: len(path.suffixes))
    if any((folder / part).glob("*.bin")) or any((folder / part).glob("*.ckpt")):
        raise ModelError(
            f"model: {folder / part} holds pickle weights, which can run any code; convert them to safetensors "
            "(diffusers: pipe.save_pretrained(folder, safe_serialization=True))"
        )
    raise ModelError(f"model: {folder / part} has no *.safetensors file; the folder is not a complete model")


def weights_size(folder: Path) -> int:
    """Bytes of a model's weight files: about what it takes in memory, half of that where they hold 16-bit floats."""
    return sum(weights(folder, part).stat().st_size for part in _PARTS)


def _count_parameters(path: Path) -> int:
    """Number of weights by the header, after checking that the file is as long as the header says."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= min(size, 100_000_000):
                raise ValueError("its header is damaged")
            header: dict[str, Any] = json.loads(file.read(length))
        header.pop("__metadata__", None)
        end = 8 + length + max(int(tensor["data_offsets"][1]) for tensor in header.values())
        if size != end:
            raise ValueError(f"it has {size} bytes, but its header promises {end}")
        return sum(prod(tensor["shape"]) for tensor in header.values())
    except OSError as error:
        raise ModelError(f"model: {path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(f"model: {path} is not a whole safetensors file: {error}; download it again") from None


def _json(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ModelError(f"model: {folder} has no {name}; it is not a complete diffusers folder") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"model: {path} cannot be read as JSON: {error}") from None
    if not isinstance(value, dict):
        raise ModelError(f"model: {path} does not hold a JSON object")
    return value


def _card(folder: Path) -> _Card:
    if not (folder / "calotype.json").exists():
        return _Card()
    try:
        return _Card.model_validate(_json(folder, "calotype.json"))
    except ValidationError as error:
        raise ModelError(f"model: {folder / 'calotype.json'}: {BadRequest(*problems(error))}") from None


def _vocabulary(folder: Path) -> Vocabulary | None:
    if not (folder / "vocabulary.json").exists():
        return None
    try:
        return Vocabulary.parse(_json(folder, "vocabulary.json"))
    except ValidationError as error:
        raise ModelError(f"model: {folder / 'vocabulary.json'}: {BadRequest(*problems(error))}") from None
