"""What a model folder holds, read from its JSON files and safetensors headers: no torch, milliseconds.

A diffusers folder is enough. A file ``calotype.json`` beside ``model_index.json`` may add a name, the sizes the
model was trained for, its best settings and examples; every key of it is optional. A file ``vocabulary.json`` may say
what it was taught (see :mod:`calotype.vocabulary`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from calotype.errors import BadRequest, ModelError
from calotype.families import BUNDLED, Defaults, Facts, Family, Folder, family_of
from calotype.request import SIDE_LIMIT, problems
from calotype.vocabulary import Vocabulary

EMBEDDED: Final = Path(__file__).parent / "embedded"
"""The small model that ships with Calotype."""

SD15_PARAMETERS: Final = 859_520_964
"""Parameters of Stable Diffusion 1.5's U-Net: the unit of a model's cost."""


_Side = Annotated[int, Field(ge=8, le=SIDE_LIMIT, multiple_of=8)]


class _Card(BaseModel):
    """``calotype.json``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$")
    title: str | None = None
    defaults: dict[str, Any] = Field(default_factory=dict)
    sizes: tuple[tuple[_Side, _Side], ...] = ()
    postprocess: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelInfo:
    """A model that can be asked for. Sizes are (width, height) in the model's own pixels."""

    name: str
    title: str
    folder: Path
    kind: Family = field(repr=False)
    """How it is run."""
    facts: Facts = field(repr=False)
    parameters: int
    """Of the denoising network: what a model call costs."""
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
    sha256: str | None = None
    """What :func:`fingerprint` has to be when it is loaded; None takes what is there."""

    @property
    def family(self) -> str:
        """Name of its family."""
        return self.kind.name

    @property
    def prediction(self) -> str:
        """What its network's output is."""
        return self.facts.prediction

    @property
    def latent_channels(self) -> int:
        """C."""
        return self.facts.latent_channels

    @property
    def vae_scale(self) -> int:
        """Pixels a side of one latent."""
        return self.facts.vae_scale

    @property
    def tokens(self) -> int:
        """Tokens the text encoder reads at once."""
        return self.facts.tokens

    @property
    def relative_cost(self) -> float:
        """Cost of a model call and megapixel against Stable Diffusion 1.5's."""
        return self.parameters / SD15_PARAMETERS

    def rows(self, guidance: float) -> int:
        """Rows of a model call that a picture takes."""
        return 2 if guidance > 1 and self.facts.guidance == "pair" else 1

    def check_size(self, width: int, height: int) -> None:
        """Raise :class:`BadRequest` unless the model can make a picture of this size."""
        if (width, height) in self.sizes:
            return
        if self.fixed_sizes:
            listed = ", ".join(f"{w}x{h}" for w, h in self.sizes)
            raise BadRequest.of("width, height", f"{width}x{height} is not a size of model {self.name}; use {listed}")
        low, high = self.side_limits
        unit = self.vae_scale * self.facts.patch
        for name, side in (("width", width), ("height", height)):
            if not low <= side <= high or side % unit:
                message = f"{side} is not a multiple of {unit} from {low} to {high} (model {self.name})"
                raise BadRequest.of(name, message)


def inspect(folder: Path, name: str | None = None, families: Sequence[Family] = BUNDLED) -> ModelInfo:
    """Read what is in ``folder``. Raises :class:`ModelError` in one line if it cannot be a model we run."""
    opened = Folder(folder)
    family = family_of(opened, families)
    try:
        facts = family.describe(opened)
        if facts.native < 1:
            raise ValueError(f"a picture of {facts.native} pixels")
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"model: {folder} has a config.json without what is needed: {error!r}") from None
    counts = {part: opened.parameters(part) for part in facts.parts}
    card, vocabulary = _card(opened), _vocabulary(opened)
    native, unit = facts.native, facts.vae_scale * facts.patch
    return ModelInfo(
        name=name or card.name or folder.resolve().name,
        title=card.title or name or folder.resolve().name,
        folder=folder.resolve(),
        kind=family,
        facts=facts,
        parameters=counts[facts.parts[0]],
        default_size=card.sizes[0] if card.sizes else (native, native),
        sizes=card.sizes or ((native, native),),
        fixed_sizes=bool(card.sizes),
        side_limits=(max(8 * unit, native // 4), native * 2),
        defaults=_defaults(opened, facts.defaults, card.defaults),
        postprocess=card.postprocess,
        examples=card.examples,
        vocabulary=vocabulary,
    )


def fingerprint(info: ModelInfo) -> str:
    """sha256 over the weights, configurations and words that shape a picture, in a fixed order. Reads all of it."""
    folder, opened = info.folder, Folder(info.folder)
    files = [path for part in info.facts.parts for path in opened.weights(part)]
    files += [folder / part / "config.json" for part in info.facts.parts]
    files.append(folder / "scheduler" / "scheduler_config.json")
    files += [path for words in info.facts.words for path in sorted((folder / words).iterdir())]
    digest = hashlib.sha256()
    try:
        for path in files:
            digest.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n".encode())
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    except OSError as error:
        raise ModelError(f"model: {error.filename} cannot be read: {error.strerror}") from None
    return digest.hexdigest()


def weights_size(info: ModelInfo) -> int:
    """Bytes of a model's weight files: about what it takes in memory, half of that where they hold 16-bit floats."""
    folder = Folder(info.folder)
    return sum(path.stat().st_size for part in info.facts.parts for path in folder.weights(part))


def _card(folder: Folder) -> _Card:
    if not (folder.path / "calotype.json").exists():
        return _Card()
    try:
        return _Card.model_validate(folder.json("calotype.json"))
    except ValidationError as error:
        raise ModelError(f"model: {folder.path / 'calotype.json'}: {BadRequest(*problems(error))}") from None


def _defaults(folder: Folder, of_family: Defaults, given: dict[str, Any]) -> Defaults:
    """The family's own, with what the card says on top."""
    try:
        return Defaults.model_validate({**of_family.model_dump(), **given})
    except ValidationError as error:
        found = BadRequest(*problems(error, "defaults."))
        raise ModelError(f"model: {folder.path / 'calotype.json'}: {found}") from None


def _vocabulary(folder: Folder) -> Vocabulary | None:
    if not (folder.path / "vocabulary.json").exists():
        return None
    try:
        return Vocabulary.parse(folder.json("vocabulary.json"))
    except ValidationError as error:
        raise ModelError(f"model: {folder.path / 'vocabulary.json'}: {BadRequest(*problems(error))}") from None
