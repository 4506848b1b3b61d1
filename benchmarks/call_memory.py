"""How well :func:`calotype.engine.memory.peak` says what a model call takes: against what the process grows by (Linux).

python benchmarks/call_memory.py
"""

from __future__ import annotations

from pathlib import Path

import torch

from calotype.checkpoint import EMBEDDED, inspect
from calotype.engine import memory
from calotype.engine.models import load


def _resident(which: str) -> int:
    """Bytes of this process: ``VmRSS`` now, ``VmHWM`` at most since it was last set back."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(which))


def main() -> None:
    """Measure and print, from few rows to many: memory that the process has kept is used again, and so not seen."""
    torch.set_num_threads(1)
    cpu = torch.device("cpu")
    model = load(inspect(EMBEDDED), cpu)
    shape, width = model.latent_shape(*model.info.default_size), 256
    print("rows  counted, MB  process, MB")
    for rows in (2, 4, 8, 16, 32):
        x, t = torch.randn(rows, *shape), torch.full((rows,), 500.0)
        conditioning = {"hidden": torch.randn(rows, model.info.tokens, width)}
        Path("/proc/self/clear_refs").write_text("5", "ascii")
        before = _resident("VmRSS")
        model.predict(x, t, conditioning)
        grown = _resident("VmHWM") - before
        counted = memory.peak(cpu, lambda x=x, t=t, c=conditioning: model.predict(x, t, c))
        print(f"{rows:4}  {counted / 1e6:11.2f}  {grown / 1e6:11.2f}")


if __name__ == "__main__":
    main()
