"""A checkpoint in shards of under 15 MiB, for a machine that gives back only small files; and joined again.

The optimizer's state stays behind: it is half of a checkpoint, and a run finds it again within some hundred steps.
"""

from __future__ import annotations

import argparse
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch

from calotype_training.checkpoints import read_checkpoint, write_state
from calotype_training.errors import TrainingError, first_line
from calotype_training.home import training_home, write_whole

LIMIT: Final = 15 * 2**20


def split(checkpoint: Path, folder: Path) -> list[Path]:
    """Weights in half precision and their average, as numbered shards in ``folder``. Raises :class:`TrainingError`."""
    state = read_checkpoint(checkpoint)
    if state is None:
        raise TrainingError(f"{checkpoint} is not there; run 'make train' first")
    tensors = {f"{group}.{name}": value.half() for group in ("model", "ema") for name, value in state[group].items()}
    kept = {name: state[name] for name in ("step", "seen", "elapsed", "leg", "finished", "channels")}
    shards: list[dict[str, torch.Tensor]] = [{}]
    filled = 0
    for name, value in tensors.items():
        size = value.numel() * value.element_size()
        if filled + size > LIMIT and shards[-1]:
            shards.append({})
            filled = 0
        shards[-1][name] = value.contiguous()
        filled += size
    about = {"state": json.dumps(kept), "shards": str(len(shards))}
    written = []
    for number, shard in enumerate(shards):
        target = folder / f"unet-{number:02d}.safetensors"
        written.append(write_whole(target, partial(_write, shard, about)))
    return written


def _write(shard: dict[str, torch.Tensor], about: dict[str, str], path: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(shard, path, about)
    except SafetensorError as error:
        raise OSError(str(error)) from error


def join(folder: Path, checkpoint: Path) -> None:
    """The shards in ``folder`` as a checkpoint to go on from. Raises :class:`TrainingError` if one is missing."""
    from safetensors import safe_open

    tensors: dict[str, torch.Tensor] = {}
    abouts: list[dict[str, str]] = []
    found = sorted(folder.glob("unet-*.safetensors"))
    for path in found:
        try:
            with safe_open(path, "pt") as file:
                abouts.append(file.metadata())
                tensors |= {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        except Exception as error:
            raise TrainingError(f"{path} is damaged ({first_line(error)}); fetch it again") from error
    about = abouts[0] if abouts else {}
    if str(len(found)) != about.get("shards"):
        raise TrainingError(f"{folder} holds {len(found)} shards, {about.get('shards', 'some')} were due")
    if any(other != about for other in abouts):
        raise TrainingError(f"{folder} holds shards of different checkpoints; fetch all of them again")
    state: dict[str, Any] = json.loads(about["state"]) | {"optimizer": None}
    for group in ("model", "ema"):
        state[group] = {
            name.removeprefix(f"{group}."): value for name, value in tensors.items() if name.startswith(f"{group}.")
        }
    write_state(checkpoint, state)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("split", "join"))
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    try:
        checkpoint = training_home() / "unet.pt"
        if given.what == "split":
            print(*split(checkpoint, given.folder), sep="\n")
        else:
            join(given.folder, checkpoint)
    except TrainingError as error:
        sys.exit(f"shards: {error}")


if __name__ == "__main__":
    main()
