"""Training at a small scale: a data set made in code, everything else real. No npm, no network, nothing in the home."""

from __future__ import annotations

import itertools
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # tests are no packages: their helpers are found here

import little_data

from calotype_training import autoencoder, text, unet
from calotype_training.assemble import assemble
from calotype_training.dataset import Dataset
from calotype_training.latents import LatentMap, latent_map
from calotype_training.pictures import Composer
from calotype_training.text import TextEncoder

CHANNELS = (16, 32, 32)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A training home of its own for whatever asks for one, and one thread, as training has."""
    home = tmp_path_factory.getbasetemp() / "training-home"
    monkeypatch.setenv("CALOTYPE_TRAINING_HOME", str(home))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield home
    torch.set_num_threads(threads)


@dataclass(frozen=True)
class House:
    """A training home in which everything was trained a little."""

    home: Path
    dataset: Dataset
    latents: LatentMap

    def text(self) -> TextEncoder:
        """Its text encoder."""
        return TextEncoder(self.home / "text", torch.device("cpu"))

    def worker(self, plan: unet.Plan) -> unet.Worker:
        """One process of the U-Net's training, here."""
        return unet.Worker(0, 1, plan, self.dataset, self.latents, self.text(), torch.device("cpu"))


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return Dataset(little_data.write(tmp_path_factory.mktemp("data") / "dataset.npz"))


@pytest.fixture
def composer(dataset: Dataset) -> Callable[..., Composer]:
    """Composers by seed."""
    return lambda seed, **more: Composer(dataset, random.Random(seed), **more)


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Trained for seconds, with the steps of a real training. Not to be written in: see ``copy``."""
    home = tmp_path_factory.mktemp("house")
    dataset = Dataset(little_data.write(home / "dataset.npz"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "_teach", little_data.teach)
        patch.setattr(text, "_BATCH", 16)
        patch.setattr(autoencoder, "_BATCH", 4)
        patch.setattr(unet, "sheet", lambda *_: None)
        patch.setattr(unet, "time", ticking())
        text.train_text(dataset, home, 2)
        autoencoder.train_autoencoder(dataset, home, 2)
        house = House(home, dataset, latent_map(dataset, home))
        house.worker(unet.Plan(home, minutes=0.2, batch=2, channels=CHANNELS)).run()
    return house


@pytest.fixture(scope="session")
def model(house: House, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``make model`` makes of the house. Not to be written in."""
    target = tmp_path_factory.mktemp("models") / "little"
    assemble(house.dataset, house.home, target)
    return target


def ticking(seconds: float = 1.0) -> SimpleNamespace:
    """In place of the module ``time``: every look at the clock takes a second, so a run is as long on any machine."""
    counter = itertools.count()
    return SimpleNamespace(monotonic=lambda: next(counter) * seconds)


@pytest.fixture
def clock() -> Callable[..., SimpleNamespace]:
    return ticking
