"""``make train``: text encoder, autoencoder, U-Net, in this order; each goes on where it was stopped."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from calotype_training.autoencoder import train_autoencoder
from calotype_training.dataset import Dataset
from calotype_training.errors import TrainingError
from calotype_training.home import training_home
from calotype_training.restore import restore
from calotype_training.text import train_text
from calotype_training.unet import Plan, train_unet

_PARTS = ("text", "autoencoder", "unet")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="make train ARGS=...", description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"any of {', '.join(_PARTS)}; all of them if left out")
    parser.add_argument("--minutes", type=float, default=120, help="one whole run of the U-Net (default 120)")
    parser.add_argument("--slice-minutes", type=float, default=float("inf"), help="stop the run after so long")
    parser.add_argument("--text-steps", type=int, default=4000)
    parser.add_argument("--autoencoder-steps", type=int, default=4000)
    parser.add_argument(
        "--batch", type=int, default=0, help="pictures a step and process; 0: 32 on a CPU, 512 on a GPU"
    )
    parser.add_argument("--channels", type=int, nargs=3, default=(64, 128, 224), help="of the U-Net, by level")
    parser.add_argument("--from", dest="begin", type=Path, help="begin with the parts of a model folder")
    given = parser.parse_args()
    if wrong := set(given.parts) - set(_PARTS):
        parser.error(f"parts: {', '.join(sorted(wrong))} is none of {', '.join(_PARTS)}")
    torch.set_num_threads(1 if not torch.cuda.is_available() else 4)
    try:
        home = training_home()
        dataset = Dataset(home / "dataset.npz")
        if given.begin is not None:
            restore(given.begin, home)
        if not given.parts or "text" in given.parts:
            train_text(dataset, home, given.text_steps)
        if not given.parts or "autoencoder" in given.parts:
            train_autoencoder(dataset, home, given.autoencoder_steps)
        if not given.parts or "unet" in given.parts:
            plan = Plan(home, given.minutes, given.slice_minutes, given.batch, tuple(given.channels))
            train_unet(dataset, plan)
    except TrainingError as error:
        sys.exit(f"train: {error}")
    except KeyboardInterrupt:
        sys.exit("train: stopped; run it again to go on from the last checkpoint")


if __name__ == "__main__":
    main()
