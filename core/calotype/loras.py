"""LoRA files (Hu et al. 2021): found by name, and looked at without torch. How they work: families/adapters.py."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from calotype.errors import BadRequest
from calotype.families import headers
from calotype.request import LORA_WEIGHT_LIMIT, LORAS_LIMIT

TAG: Final = re.compile(r"<lora:([^:<>]{1,100}):?(-?\d{0,3}(?:\.\d{0,4})?)>")
"""As Automatic1111's web UI has introduced it: ``<lora:name:0.8>``; without a number it is 1."""
_NAME: Final = re.compile(r"[\w][\w. -]{0,99}")
_HEADER_LIMIT: Final = 20_000_000
_TEXT: Final = re.compile(r"attn2[._]to_[kv]\b|attn2[._]to_[kv][._]|attn2[._]processor[._]to_[kv]")
_DOWN: Final = re.compile(r"(lora_down|lora\.down|lora_A|_lora\.down|lora_linear_layer\.down)\.weight$")


class Loras:
    """The ``*.safetensors`` of a folder, by their names without that. Looked through anew at every ask."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder

    def all(self) -> Mapping[str, Path]:
        """In the order of their names."""
        if self._folder is None:
            return {}
        try:
            files = sorted(self._folder.glob("*.safetensors"))
        except OSError:
            return {}
        return {file.stem: file for file in files if _NAME.fullmatch(file.stem)}

    def find(self, name: str) -> Path:
        """Raises :class:`BadRequest` that lists what there is."""
        known = self.all()
        if name in known:
            return known[name]
        listed = ", ".join(list(known)[:20]) or "none; the operator puts *.safetensors files into the folder 'loras'"
        raise BadRequest.of("loras", f"{name[:60]!r} is not there; there are {listed}")


def text_width(file: Path, name: str) -> int | None:
    """Width of the text that it was trained with, by its header; None if that is untold.

    Raises :class:`BadRequest` in one line for what is no LoRA that can be used.
    """
    try:
        header = headers.read(file, _HEADER_LIMIT).tensors
    except OSError as error:
        raise BadRequest.of(f"loras.{name}", f"cannot be read ({error.strerror}); ask the operator") from None
    except headers.UNREADABLE as error:
        raise BadRequest.of(f"loras.{name}", f"is not a whole safetensors file ({error}); fetch it again") from None
    if any(".hada_" in key or ".lokr_" in key or "dora_scale" in key or ".oft_" in key for key in header):
        raise BadRequest.of(f"loras.{name}", "is a LoHa, LoKr, OFT or DoRA; only plain LoRA is supported")
    downs = {key: value["shape"] for key, value in header.items() if _DOWN.search(key)}
    if not downs:
        raise BadRequest.of(f"loras.{name}", "has no LoRA layers in it; it is something else")
    widths = {shape[1] for key, shape in downs.items() if _TEXT.search(key) and len(shape) > 1}
    return widths.pop() if len(widths) == 1 else None


def taken_out(prompt: str) -> tuple[str, dict[str, float]]:
    """The prompt without its tags, and what they name. A name that stands twice counts with the sum of its weights."""
    found: dict[str, float] = {}
    for name, weight in TAG.findall(prompt):
        value = float(weight) if weight not in ("", "-", ".", "-.") else 1.0
        found[name.strip()] = round(found.get(name.strip(), 0.0) + value, 4)
    return " ".join(TAG.sub(" ", prompt).split()) if found else prompt, found


def check_weights(loras: Mapping[str, float]) -> None:
    """Raises :class:`BadRequest`."""
    if len(loras) > LORAS_LIMIT:
        raise BadRequest.of("loras", f"are {len(loras)}; at most {LORAS_LIMIT} at a time")
    for name, weight in loras.items():
        if abs(weight) > LORA_WEIGHT_LIMIT:
            raise BadRequest.of(
                f"loras.{name[:60]}", f"{weight:g} is too much; from -{LORA_WEIGHT_LIMIT:g} to {LORA_WEIGHT_LIMIT:g}"
            )
