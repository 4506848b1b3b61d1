"""Request: the one description of what a user wants, whoever asks and through whatever front end."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from calotype import texts
from calotype.errors import BadRequest, Problem

PROMPT_LIMIT: Final = 2000
"""Characters in a prompt: Discord's limit for a message, and far beyond what a text encoder reads."""
SEED_LIMIT: Final = 2**53 - 1
"""Seeds are 0 … 2**53 - 1, so that JavaScript and JSON carry them without loss."""
STEPS_LIMIT: Final = 150
GUIDANCE_LIMIT: Final = 30.0
IMAGES_LIMIT: Final = 8
SIDE_LIMIT: Final = 2048
LORAS_LIMIT: Final = 5
LORA_WEIGHT_LIMIT: Final = 4.0

_STRANGE: Final = "is not a field that is known here; check its spelling or leave it out"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


def _option(value: Any) -> Any:
    if not isinstance(value, dict | bool):
        raise ValueError('takes parameters as {"name": value}, or true or false for a post-processor')
    if not texts.is_sound_throughout(value):
        raise ValueError(texts.BROKEN)
    return value


Options = dict[str, Annotated[dict[str, JsonValue] | bool, BeforeValidator(_option)]]
"""Plugin name → its parameters; ``True`` is a post-processor with its defaults, ``False`` is one switched off."""


def _text(value: str) -> str:
    if _CONTROL.search(value):
        raise ValueError("holds control characters or bytes that are not text; send plain text")
    return value.strip()


def _plain(value: str) -> str:
    if not texts.is_sound(value):
        raise ValueError(texts.BROKEN)
    return value


def _written(value: str) -> str:
    if not value:
        raise ValueError("is empty; describe the picture in a few words, e.g. 'blue cat'")
    return value


def _dimension(value: int) -> int:
    if value % 8:
        raise ValueError(f"{value} is not a multiple of 8; use {max(8, value // 8 * 8)} or {value // 8 * 8 + 8}")
    return value


def _sha256(value: str) -> str:
    if not _SHA256.fullmatch(value):
        raise ValueError("is not the sha256 of a picture: 64 digits, 0-9 and a-f; upload the picture to learn its own")
    return value


Text = Annotated[str, Field(max_length=PROMPT_LIMIT), AfterValidator(_text)]
Side = Annotated[int, Field(ge=8, le=SIDE_LIMIT), AfterValidator(_dimension)]
LoraWeight = Annotated[float, Field(ge=-LORA_WEIGHT_LIMIT, le=LORA_WEIGHT_LIMIT)]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_plain)]


class Request(BaseModel):
    """What a user wants. Frozen. A field left None is filled with the model's own default when it is resolved.

    Limits that depend on what is installed (samplers, models, sizes, plugin parameters) are checked by
    :meth:`calotype.catalog.Catalog.resolve`; everything else is checked here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    prompt: Annotated[Text, AfterValidator(_written)]
    negative_prompt: Text = ""
    steps: Annotated[int, Field(ge=1, le=STEPS_LIMIT)] | None = None
    sampler: Name | None = None
    schedule: Name | None = None
    guidance: Annotated[float, Field(ge=1.0, le=GUIDANCE_LIMIT)] | None = None
    """Classifier-free guidance scale (Ho & Salimans 2022); 1 is none."""
    guidance_rescale: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    """Share of the rescaled guidance, phi in Lin et al. (2023), section 3.4."""
    seed: Annotated[int, Field(ge=0, le=SEED_LIMIT)] | None = None
    """Picture k of the request has seed ``seed + k``, modulo 2**53."""
    width: Side | None = None
    height: Side | None = None
    """Sides in the model's own pixels, before any post-processor enlarges the picture."""
    images: Annotated[int, Field(ge=1, le=IMAGES_LIMIT)] = 1
    model: Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_plain)] | None = None
    options: Options = Field(default_factory=dict)
    loras: dict[str, LoraWeight] = Field(default_factory=dict, max_length=LORAS_LIMIT)
    """LoRA files by name, with the weight of each. ``<lora:name:0.8>`` in the prompt says the same."""
    init_image: Annotated[str, AfterValidator(_sha256)] | None = None
    """The picture to start from instead of noise alone (SDEdit, Meng et al. 2022): its sha256 in the image store.
    Whether its person may use it is checked by :meth:`calotype.studio.Studio.submit`."""
    strength: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """How much of ``init_image`` is drawn anew: this share of the steps is done. 1 keeps next to nothing of it."""
    mask: Annotated[str, AfterValidator(_sha256)] | None = None
    """Which part of ``init_image`` is repainted (inpainting): the sha256 of a picture that is white there, else black.
    Whose it must be is as for ``init_image``."""

    @field_validator("strength", "mask")
    @classmethod
    def _of_a_picture(cls, value: float | str | None, info: ValidationInfo) -> float | str | None:
        if value is not None and info.data.get("init_image", "a wrong one") is None:
            says = {"strength": "how much", "mask": "which part"}[info.field_name or ""]
            raise ValueError(f"says {says} of init_image to change, and there is none; give one or leave it out")
        return value

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Request:
        """A request from plain values. Raises :class:`BadRequest` that names every wrong field and its limit."""
        if strange := [name for name in data if not texts.is_sound(name)]:  # pydantic would not say which
            raise BadRequest.of(strange[0][:60], _STRANGE)
        try:
            return cls.model_validate(dict(data))
        except ValidationError as error:
            raise BadRequest(*problems(error)) from None

    def seeds(self) -> list[int]:
        """The seed of each picture. The request must be resolved (its seed known)."""
        if self.seed is None:
            raise ValueError("the request has no seed yet: resolve it first")
        return [(self.seed + k) % (SEED_LIMIT + 1) for k in range(self.images)]

    @property
    def steps_done(self) -> int:
        """Steps that are really done: all, or the last ones if it starts from a picture. It must be resolved."""
        if self.steps is None:
            raise ValueError("the request has no steps yet: resolve it first")
        if self.init_image is None or self.strength is None:
            return self.steps
        return min(self.steps, max(1, round(self.steps * self.strength)))


def problems(error: ValidationError, prefix: str = "") -> list[Problem]:
    """Findings of pydantic in our words: the field, the value, the limit."""
    return [
        Problem(prefix + ".".join(_path(found["loc"])), _message(found))
        for found in error.errors(include_url=False)
        # an option that is a dict was tried as true or false as well: not what was meant
        if not (found["type"] == "bool_type" and isinstance(found["input"], dict))
    ]


_BRANCH = re.compile(r"(bool|str|int|float|none)$|(dict|list|constrained|function|nullable)[\[-]")


def _path(loc: tuple[int | str, ...]) -> list[str]:
    """Where the value stands, without pydantic's names for branches of a union (they come third or later)."""
    return [str(part) for place, part in enumerate(loc) if place < 2 or not _BRANCH.match(str(part))]


def _message(found: Any) -> str:  # noqa: PLR0911, PLR0912 - one flat table reads best
    context, value = found.get("ctx", {}), found.get("input")
    shown = repr(value[:60]) if isinstance(value, str) else repr(value)
    shown = shown if len(shown) <= 62 else f"{shown[:60]}…"
    match found["type"]:
        case "missing":
            return "is missing; it is required"
        case "extra_forbidden":
            return _STRANGE
        case "string_too_long":
            return f"has {len(str(value))} characters; at most {context['max_length']}"
        case "string_too_short":
            return "is empty; leave it out to use the default"
        case "greater_than_equal":
            return f"{shown} is too small; at least {context['ge']}"
        case "less_than_equal":
            return f"{shown} is too large; at most {context['le']}"
        case "greater_than":
            return f"{shown} is too small; it must be above {context['gt']}"
        case "less_than":
            return f"{shown} is too large; it must be below {context['lt']}"
        case "finite_number":
            return f"{shown} is not a number; give a finite one"
        case "int_type" | "int_parsing" | "int_from_float":
            return f"{shown} is not a whole number"
        case "float_type" | "float_parsing":
            return f"{shown} is not a number"
        case "bool_type" | "bool_parsing":
            return f"{shown} is neither true nor false"
        case "dict_type":
            return f"{shown} is not an object of names and values"
        case "string_type" | "string_unicode":
            return f"{shown} is not text" if found["type"] == "string_type" else "holds bytes that are not text"
        case "value_error":
            return str(context["error"])
        case "literal_error":
            return f"{shown} is not one of {context['expected']}"
        case _:
            return f"{shown}: {found['msg']}"
