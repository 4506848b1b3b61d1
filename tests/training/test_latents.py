"""The fixed latents: near to the picture, about unit variance, made once."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from training_house import House

from calotype_training import latents
from calotype_training.dataset import Dataset
from calotype_training.errors import TrainingError
from calotype_training.latents import as_tensor, latent_map
from calotype_training.pictures import Composer


@pytest.fixture(scope="module")
def fresh(dataset: Dataset) -> torch.Tensor:
    """Pictures that the map was not fitted to, without the portraits: theirs are noise here."""
    composer = Composer(dataset, random.Random(12345))
    samples = (composer.sample() for _ in range(150))
    return as_tensor([picture for picture, caption in samples if not caption.startswith("pixel portrait")])


def test_pictures_as_tensors() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[0, 1] = (255, 0, 51)
    tensor = as_tensor([picture, picture])
    assert (tensor.shape, tensor.dtype) == ((2, 3, 64, 64), torch.float32)
    torch.testing.assert_close(tensor[1, :, 0, 1], torch.tensor([1.0, -1.0, -0.6]))


def test_there_and_back(house: House, fresh: torch.Tensor) -> None:
    z = house.latents.encode(fresh)
    assert z.shape == (len(fresh), 12, 16, 16)
    back = house.latents.decode(z)
    assert back.shape == fresh.shape
    assert (back - fresh).pow(2).mean() < 0.01 < 0.1 * fresh.var()
    assert torch.allclose(house.latents.encode(back), z, atol=1e-3)  # what it keeps, it keeps
    plain = torch.full((1, 3, 64, 64), -0.5)
    assert (house.latents.decode(house.latents.encode(plain)) - plain).abs().max() < 0.05


def test_a_latent_is_of_its_own_patch(house: House, fresh: torch.Tensor) -> None:
    other = fresh[:1].clone()
    other[:, :, 8:12, 20:24] *= -1
    changed = (house.latents.encode(other) - house.latents.encode(fresh[:1])).abs().amax(1)[0] > 1e-4
    assert changed.nonzero().tolist() == [[2, 5]]


def test_about_unit_variance(house: House, fresh: torch.Tensor) -> None:
    z = house.latents.encode(fresh)
    assert 0.9 < z.std() < 1.1
    spread = z.std((0, 2, 3))
    assert spread[0] > spread[3] > spread[11]  # half-way to whitening: fine detail is smaller, not as small as it is
    assert spread[0] < 12 * spread[11]


def test_the_map_is_kept(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("it was fitted again")

    monkeypatch.setattr(latents, "Composer", never)
    again = latent_map(house.dataset, house.home)
    assert torch.equal(again.forward, house.latents.forward)
    assert torch.equal(again.mean, house.latents.mean)


def test_a_damaged_map_is_named(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "latents.pt").write_bytes(b"\0" * 100)
    with pytest.raises(TrainingError, match=r"latents\.pt is damaged"):
        latent_map(dataset, tmp_path)
