"""How much memory there is, and how much a model call takes. Bytes throughout."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

MODELS_SHARE: Final = 0.5
"""Share of the memory that models may keep if the operator does not say."""
CALL_SHARE: Final = 0.5
"""Share of what is free that one model call may take."""
_CGROUP: Final = Path("/sys/fs/cgroup")
_SEEN_FOR: Final = 0.5
_seen: dict[torch.device, tuple[float, int]] = {}
"""When we looked, by the monotonic clock, and what was free."""


def total(device: torch.device) -> int:
    """Of the device; of the CPU that of the machine, or of the container if that is less."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _number(_CGROUP / "memory.max")
    return machine if limit is None else min(machine, limit)


def free(device: torch.device) -> int:
    """:func:`free_now`, as it was found within the last half second: asking costs more than a small sampler's step."""
    at, found = _seen.get(device, (float("-inf"), 0))
    if (now := time.monotonic()) - at > _SEEN_FOR:
        found = free_now(device)
        _seen[device] = now, found
    return found


def free_now(device: torch.device) -> int:
    """What could be had now. Where nothing tells (not Linux), half of all there is."""
    if device.type == "cuda":
        unused, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(unused + cached)
    found = [_available()]
    limit, used = _number(_CGROUP / "memory.max"), _number(_CGROUP / "memory.current")
    if limit is not None and used is not None:
        found.append(max(0, limit - used + _cached_files()))
    known: list[int] = [each for each in found if each is not None]
    return min(known) if known else total(device) // 2


def peak(device: torch.device, call: Callable[[], object]) -> int:
    """The most that ``call`` holds at a time beyond what was there before.

    On CUDA by the allocator's own count, of everything on that device. Elsewhere by counting the tensors that
    operations make on this thread: what a library takes inside one operation is not seen. The embedded U-Net's calls
    on a CPU let the process grow by up to 1.2 MB more than that, 16 and 32 rows by as much within 6 %
    (`python benchmarks/call_memory.py`).
    """
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        return int(torch.cuda.max_memory_allocated(device)) - before
    with _Counting() as counting:
        call()
    most: int = counting.most
    return most


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the storages that operations make, on this thread, and takes off those that are let go."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.most = 0
        self._now = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = {each.untyped_storage()._cdata for each in tree_leaves((args, kwargs)) if _is_tensor(each)}
        for each in filter(_is_tensor, tree_leaves(out)):
            storage = each.untyped_storage()
            if storage._cdata not in given and storage._cdata not in self._known:  # not a view, not in place
                self._known.add(storage._cdata)
                self._now += storage.nbytes()
                weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        self.most = max(self.most, self._now)
        return out

    def _gone(self, storage: int, size: int) -> None:
        self._known.discard(storage)
        self._now -= size


def _is_tensor(value: object) -> bool:
    return isinstance(value, torch.Tensor)


def _available() -> int | None:
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None


def _cached_files() -> int:
    """Bytes of files that the kernel counts as used by the container, and lets go of when memory is asked for."""
    with suppress(OSError, ValueError):
        lines = (_CGROUP / "memory.stat").read_text("ascii").splitlines()
        counts = dict(line.split(maxsplit=1) for line in lines)
        return int(counts.get("inactive_file", 0)) + int(counts.get("active_file", 0))
    return 0


def _number(file: Path) -> int | None:
    """What a file of the kernel's says; None if there is none, or it says "max"."""
    with suppress(OSError, ValueError):
        return int(file.read_text("ascii"))
    return None
