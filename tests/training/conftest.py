"""Training at a small scale: a data set made in code, everything else real. No npm, no network, nothing in the home."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))  # tests are no packages: their helpers are found here

import little_data
from training_house import CHANNELS, House, ticking

from calotype_training import assemble, autoencoder, latents, text, unet
from calotype_training.autoencoder import measure
from calotype_training.dataset import Dataset
from calotype_training.latents import latent_map
from calotype_training.pictures import Composer


@pytest.fixture(autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A training home of its own for whatever asks for one, and one thread, as training has."""
    home = tmp_path_factory.getbasetemp() / "training-home"
    monkeypatch.setenv("CALOTYPE_TRAINING_HOME", str(home))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield home
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return Dataset(little_data.write(tmp_path_factory.mktemp("data") / "dataset.npz"))


@pytest.fixture
def composer(dataset: Dataset) -> Callable[..., Composer]:
    """Composers by seed."""
    return lambda seed, **more: Composer(dataset, random.Random(seed), **more)


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> House:
    """Trained for seconds, with the steps of a real training. Not to be written in."""
    home = tmp_path_factory.mktemp("house")
    dataset = Dataset(little_data.write(home / "dataset.npz"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "_teach", little_data.teach)
        patch.setattr(text, "_BATCH", 16)
        patch.setattr(text, "_CAPTIONS", 3000)
        patch.setattr(latents, "_PICTURES", 500)
        patch.setattr(autoencoder, "_BATCH", 4)
        patch.setattr(unet, "sheet", lambda *_: None)
        patch.setattr(unet, "time", ticking(2.0))
        text.train_text(dataset, home, 2)
        autoencoder.train_autoencoder(dataset, home, 2)
        house = House(home, dataset, latent_map(dataset, home))
        house.worker(unet.Plan(home, minutes=0.2, batch=2, channels=CHANNELS)).run()
    return house


@pytest.fixture(scope="session")
def model(house: House, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``make model`` makes of the house. Not to be written in."""
    target = tmp_path_factory.mktemp("models") / "little"

    def measure_and_keep(dataset: Dataset, home: Path) -> dict[str, float]:
        found = measure(dataset, home)
        (target.parent / "measured.json").write_text(json.dumps(found), "utf-8")
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assemble, "measure", measure_and_keep)
        patch.setattr(autoencoder, "_MEASURED", 20)
        assemble.assemble(house.dataset, house.home, target)
    return target


@pytest.fixture
def clock() -> Callable[..., SimpleNamespace]:
    return ticking
