"""LoRA at work (Hu et al. 2021): W x + weight · alpha / rank · up (down x), beside the layers of a loaded network.

The network's own weights are never touched, so jobs with and without take turns on one copy of it, and a job without
has the bits that it always had. Which are at work is said per thread, around a call.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from calotype.engine.exact import in_fixed_rows
from calotype.errors import BadRequest

_CACHED: Final = 16
"""Files whose layers stay in memory."""
_ENDS: Final = re.compile(
    r"(?:\.|_)(?:lora_(?P<kohya>down|up)|lora\.(?P<old>down|up)|lora_linear_layer\.(?P<te>down|up)|lora_(?P<peft>[AB]))"
    r"(?:\.default)?\.weight$|\.(?P<alpha>alpha)$"
)
_STARTS: Final = (
    ("lora_unet_", "denoiser"), ("lora_transformer_", "denoiser"), ("lora_te1_", "text_encoder"),
    ("lora_te2_", "text_encoder_2"), ("lora_te_", "text_encoder"), ("unet.", "denoiser"), ("transformer.", "denoiser"),
    ("text_encoder_2.", "text_encoder_2"), ("text_encoder.", "text_encoder"),
)  # fmt: skip


class Layer(NamedTuple):
    """``down`` (rank, in, …), ``up`` (out, rank, …), and alpha / rank."""

    down: torch.Tensor
    up: torch.Tensor
    scale: float


@dataclass(frozen=True, eq=False)
class Lora:
    """One file, fitted to one network: a layer for each module that it changes."""

    sha256: str
    layers: Mapping[nn.Module, Layer]


Chosen = tuple[tuple[Lora, float], ...]
"""Files and their weights."""


class Adapters:
    """Of one network. ``parts`` are its networks by the names that LoRA files have for them. Any thread may use it."""

    def __init__(self, parts: Mapping[str, nn.Module], layers_per_block: int | None = None) -> None:
        self._modules = {name: _by_path(part) for name, part in parts.items()}
        self._layers_per_block = layers_per_block
        self._lock = threading.Lock()
        self._read: OrderedDict[tuple[Path, int, int], Lora] = OrderedDict()
        self._hooked: set[nn.Module] = set()
        self._here = threading.local()

    def read(self, file: Path, name: str) -> Lora:
        """Its layers. Raises :class:`BadRequest` in one line if one of them fits nothing here."""
        with self._lock:
            about = file.stat()
            key = (file, about.st_mtime_ns, about.st_size)
            if key not in self._read:
                self._read[key] = self._fitted(file, name)
                while len(self._read) > _CACHED:
                    self._read.popitem(last=False)
            self._read.move_to_end(key)
            for module in self._read[key].layers:
                if module not in self._hooked:
                    self._hooked.add(module)
                    module.register_forward_hook(self._add)
            return self._read[key]

    @contextmanager
    def use(self, chosen: Chosen) -> Iterator[None]:
        """They are at work in all calls of this thread."""
        before = self.here()
        self._here.chosen = chosen
        try:
            yield
        finally:
            self._here.chosen = before

    def here(self) -> Chosen:
        """Those at work on this thread."""
        chosen: Chosen = getattr(self._here, "chosen", ())
        return chosen

    def _add(self, module: nn.Module, given: Any, output: torch.Tensor) -> torch.Tensor | None:
        chosen = self.here()
        if not chosen:
            return None
        for lora, weight in chosen:
            layer = lora.layers.get(module)
            if layer is not None and weight != 0:
                output = output + _changed(module, given[0], layer) * (weight * layer.scale)
        return output

    def _fitted(self, file: Path, name: str) -> Lora:
        from safetensors.torch import load

        data = file.read_bytes()
        tensors = load(data)
        found: dict[str, dict[str, torch.Tensor]] = {}
        strange = []
        for key, tensor in tensors.items():
            end = _ENDS.search(key)
            if end is None:
                strange.append(key)
                continue
            kind = next(value for value in end.groups() if value)
            found.setdefault(key[: end.start()], {})[{"A": "down", "B": "up"}.get(kind, kind)] = tensor.float()
        layers = {}
        for path, parts in found.items():
            module = self._module(path)
            layer = None if module is None else _layer(module, parts)
            if module is None or layer is None:
                strange.append(path)
            else:
                layers[module] = layer
        if strange:
            told = f"{len(strange)} of its {len(found)} layers fit nothing in this model, such as {strange[0][:100]}"
            raise BadRequest.of(f"loras.{name}", f"{told}; it is for another one")
        return Lora(hashlib.sha256(data).hexdigest(), layers)

    def _module(self, path: str) -> nn.Module | None:
        for start, part in _STARTS:
            if path.startswith(start):
                rest = path.removeprefix(start).removesuffix(".processor").replace(".processor.", ".")
                modules = self._modules.get(part, {})
                rest = rest.replace(".", "_")
                if part == "denoiser" and self._layers_per_block is not None:
                    rest = as_diffusers(rest, self._layers_per_block)
                return modules.get(rest) or modules.get(rest.removeprefix("text_model_"))
        return None


def as_diffusers(path: str, layers: int) -> str:
    """A path in a U-Net with the names of the original code, as diffusers names it; any other as it is."""
    if found := re.match(r"input_blocks_(\d+)_(\d)_(.*)", path):
        block, layer = divmod(int(found[1]) - 1, layers + 1)
        kind = "attentions" if found[2] == "1" else "resnets"
        return f"down_blocks_{block}_{kind}_{layer}_{found[3]}"
    if found := re.match(r"middle_block_1_(.*)", path):
        return f"mid_block_attentions_0_{found[1]}"
    if found := re.match(r"output_blocks_(\d+)_(\d)_(.*)", path):
        block, layer = divmod(int(found[1]), layers + 1)
        kind = "attentions" if found[2] == "1" else "resnets"
        return f"up_blocks_{block}_{kind}_{layer}_{found[3]}"
    return path


def _by_path(part: nn.Module) -> dict[str, nn.Module]:
    found = {}
    for path, module in part.named_modules():
        if isinstance(getattr(module, "weight", None), torch.Tensor):
            found[path.replace(".", "_")] = module
    return found


def _layer(module: nn.Module, parts: Mapping[str, torch.Tensor]) -> Layer | None:
    """None if it does not fit."""
    down, up = parts.get("down"), parts.get("up")
    weight = module.weight
    assert isinstance(weight, torch.Tensor)
    if down is None or up is None or down.dim() != up.dim() or down.shape[0] != up.shape[1]:
        return None
    if weight.dim() == 2 and down.dim() == 4:  # a Linear layer that was a convolution of one pixel when it was trained
        down, up = down.flatten(1), up.flatten(1)
    if weight.dim() == 4 and down.dim() == 2:
        down, up = down[..., None, None], up[..., None, None]
    if up.shape[0] != weight.shape[0] or tuple(down.shape[1:]) != tuple(weight.shape[1:]):
        return None
    alpha = parts.get("alpha")
    rank = down.shape[0]
    device = weight.device
    return Layer(down.to(device), up.to(device), 1.0 if alpha is None else float(alpha) / rank)


def _changed(module: nn.Module, x: torch.Tensor, layer: Layer) -> torch.Tensor:
    if isinstance(module, nn.Conv2d):
        inner = functional.conv2d(x, layer.down, None, module.stride, module.padding, module.dilation, module.groups)
        return functional.conv2d(inner, layer.up)
    return in_fixed_rows(in_fixed_rows(x, layer.down), layer.up)
