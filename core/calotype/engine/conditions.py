"""What of a machine and its libraries may change a picture's bits: it goes into every record."""

from __future__ import annotations

import os
import platform
import re
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import torch

from calotype.digest import digest

PNG_LEVEL: Final = 6
"""zlib's level for pictures. Another one gives other bytes for the same pixels."""
_LIBRARIES: Final = ("torch", "diffusers", "transformers", "tokenizers", "safetensors", "numpy", "pillow")
_SHAPING: Final = ("emphasis.py", "sampling.py", "postprocess.py")
"""Modules outside of the engine's folder and the families' that shape pictures too."""
_SWITCHES: Final = ("MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE")
"""The user's environment variables that choose these libraries' kernels."""


def conditions(device: torch.device, threads: int) -> dict[str, Any]:
    """Device, threads, versions and whatever else of this process a picture's bits may depend on, as plain values."""
    return {
        "device": str(device),
        "device_name": _device_name(device),
        "threads": threads,
        "versions": {name: found for name in ("calotype", *_LIBRARIES) if (found := _version(name))},
        "engine_sha256": _engine(),
        "python": platform.python_version(),
        "machine": _machine(),
        "torch": _settings(device),
        "png": {"encoder": "pillow", "zlib": _zlib(), "level": PNG_LEVEL},
    }


@cache
def _engine() -> str:
    """Of the code that makes pictures: in an editable installation the version does not tell."""
    engine = Path(__file__).parent
    package = engine.parent
    folders = (engine, package / "families")
    files = [*(file for folder in folders for file in folder.glob("*.py")), *(package / name for name in _SHAPING)]
    return digest((file.relative_to(package).as_posix(), file) for file in files)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:  # a library that another one stopped needing
        return None


@cache
def _machine() -> dict[str, str]:
    libc = " ".join(part for part in platform.libc_ver() if part)
    return {
        "cpu": _cpu(),
        "arch": platform.machine(),
        "system": platform.system(),
        **({"libc": libc} if libc else {}),
    }


@cache
def _cpu() -> str:
    """The processor's name, with family, model and stepping: matrix libraries choose their kernels by it."""
    try:
        told = Path("/proc/cpuinfo").read_text("utf-8", errors="replace")
    except OSError:
        told = ""
    name = _first(r"(?m)^(?:model name|Model|Hardware|cpu model)\s*:\s*(.+)$", told)
    parts = [_first(rf"(?m)^{part}\s*:\s*(\S+)$", told) for part in ("cpu family", "model", "stepping")]
    numbers = "/".join(part for part in parts if part)
    shown = " ".join((name or platform.processor() or "unknown").split())
    return f"{shown} ({numbers})" if numbers else shown


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu() if device.type == "cpu" else ""


def _settings(device: torch.device) -> dict[str, Any]:
    built = torch.__config__.show()
    found: dict[str, Any] = {
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "matmul_precision": torch.get_float32_matmul_precision(),
        "blas": _first(r"BLAS_INFO=(\w+)", built),
        "mkl": _first(r"Math Kernel Library Version (\S+)", built),
        "onednn": _first(r"MKL-DNN v(\S+)", built),
        **{name.lower(): os.environ.get(name, "") for name in _SWITCHES},
    }
    if device.type == "cuda":
        found |= {
            "cuda": torch.version.cuda,
            "cudnn": str(torch.backends.cudnn.version()),  # type: ignore[no-untyped-call]
            "tf32": bool(torch.backends.cudnn.allow_tf32),
        }
    return {name: value for name, value in found.items() if value is not None}


def _first(pattern: str, told: str) -> str | None:
    found = re.search(pattern, told)
    return found[1] if found else None


@cache
def _zlib() -> str:
    from PIL import features

    found: dict[str, Any] = {name: features.version(name) for name in ("zlib_ng", "zlib")}
    return f"zlib-ng {found['zlib_ng']}" if found["zlib_ng"] else str(found["zlib"])
