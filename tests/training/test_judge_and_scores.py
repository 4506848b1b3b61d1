"""The judge and the scores, on the little model: few steps, real pictures."""

from __future__ import annotations

import copy
import json
import math
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import little_data
import numpy as np
import pytest
import torch
from PIL import Image
from training_house import House

from calotype_training import evaluate, judge
from calotype_training.card import weights_name
from calotype_training.concepts import ACCESSORIES, COLOURS, read_concepts, read_held_out
from calotype_training.dataset import Dataset
from calotype_training.errors import TrainingError
from calotype_training.evaluate import Painter, Scores
from calotype_training.judge import Judge, RealPictures, load_judge, look, train_judge
from calotype_training.sheet import sample


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "_BATCH", 16)
    monkeypatch.setattr(evaluate, "_JUDGE_STEPS", 4)
    monkeypatch.setattr(evaluate, "_REAL", 64)
    monkeypatch.setattr(evaluate, "sample", partial(sample, steps=4))
    monkeypatch.setattr(evaluate, "read_held_out", lambda: little_data.HELD_OUT)


@pytest.fixture
def home(house: House, tmp_path: Path) -> Path:
    """A home without a judge."""
    shutil.copy(house.home / "latents.pt", tmp_path / "latents.pt")
    return tmp_path


# --- the judge


def test_real_pictures_have_their_labels(house: House) -> None:
    latents, labels = RealPictures(house.dataset, house.home, 1).batch(200)
    assert (latents.shape, labels.shape) == ((200, 12, 16, 16), (200, 4))
    assert set(labels[:, 0].tolist()) == set(range(12))
    assert set(labels[:, 2].tolist()) == set(range(len(COLOURS) + 1))
    assert len(ACCESSORIES) in labels[:, 3]
    pairs = labels[labels[:, 0] != labels[:, 1]]
    assert 15 < len(pairs) < 50 and (pairs[:, 2] == len(COLOURS)).all()
    worn = labels[labels[:, 3] < len(ACCESSORIES), 0]
    assert len(worn) > 10 and worn.max() < 4  # animals and faces
    assert torch.equal(labels, RealPictures(house.dataset, house.home, 1).batch(200)[1])
    many = RealPictures(house.dataset, house.home, 2).batch(600)[1]
    held_out = (many[:, 0] == 0) & (many[:, 2] == COLOURS.index("blue"))
    assert held_out.any(), "the judge knows blue cats; the generator does not"


def test_the_judge_learns(house: House, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judge, "_BATCH", 32)
    monkeypatch.setattr(judge, "_RATE", 1e-2)
    trained = train_judge(house.dataset, home, 30)
    assert not trained.training
    latents, labels = RealPictures(house.dataset, home, 5).batch(100)
    with torch.no_grad():
        verdict = trained(latents)
    assert (verdict.concepts.argmax(1) == labels[:, 0]).float().mean() > 0.25  # by chance one in twelve
    assert verdict.colours.shape == (100, len(COLOURS) + 1) and verdict.accessories.shape == (100, len(ACCESSORIES) + 1)


def test_a_judge_is_kept_and_gone_on_from(
    house: House, home: Path, monkeypatch: pytest.MonkeyPatch, clock: Callable[..., Any]
) -> None:
    save, steps = judge.save_checkpoint, []

    def save_and_die(path: Path, model: Any, optimizer: Any, step: int, **more: Any) -> None:
        save(path, model, optimizer, step, **more)
        steps.append(step)
        if step == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(judge, "time", clock(61.0))  # a checkpoint every step
    monkeypatch.setattr(judge, "save_checkpoint", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        train_judge(house.dataset, home, 4)
    first = train_judge(house.dataset, home, 4)
    second = train_judge(house.dataset, home, 4)
    assert steps == [1, 2, 3, 4]
    assert torch.equal(first.concepts.weight, second.concepts.weight)


def test_a_judge_of_other_concepts_is_refused(house: House, home: Path) -> None:
    with pytest.raises(TrainingError, match=r"judge\.pt is missing or knows other concepts; remove it"):
        load_judge(house.dataset, home)
    train_judge(house.dataset, home, 1)
    fewer = copy.copy(house.dataset)
    fewer.concepts = fewer.concepts[:-1]
    with pytest.raises(TrainingError, match="knows other concepts"):
        load_judge(fewer, home)
    with pytest.raises(TrainingError, match=r"judge\.pt is of another model \(.*\); remove it to start anew"):
        train_judge(fewer, home, 2)


def test_looking_in_parts_is_looking_at_all(house: House) -> None:
    torch.manual_seed(0)
    fresh = Judge(12).eval()
    pictures = np.random.default_rng(0).integers(0, 256, (150, 64, 64, 3), np.uint8)
    whole = look(fresh, house.latents, pictures)
    assert whole.concepts.shape == (150, 12) and whole.features.shape == (150, judge._FEATURES)
    torch.testing.assert_close(whole.concepts[149:], look(fresh, house.latents, pictures[149:]).concepts)


# --- a model that is none


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (shutil.rmtree, "is not a model folder: it has no model_index.json"),
        (lambda folder: (folder / "model_index.json").unlink(), "is not a model folder: it has no model_index.json"),
        (lambda folder: shutil.rmtree(folder / "unet"), "could not be loaded: "),
        (lambda folder: shutil.rmtree(folder / "vae"), "could not be loaded: "),
        (lambda folder: shutil.rmtree(folder / "text_encoder"), "holds no trained text encoder"),
        (lambda folder: shutil.rmtree(folder / "tokenizer"), "could not be loaded: "),
        (lambda folder: (folder / "vocabulary.json").unlink(), "could not be loaded: "),
        (lambda folder: _truncate(folder / "unet" / "diffusion_pytorch_model.safetensors"), "could not be loaded: "),
        (lambda folder: _truncate(folder / "vae" / "diffusion_pytorch_model.safetensors"), "could not be loaded: "),
        (lambda folder: _truncate(folder / "text_encoder" / "model.safetensors"), "could not be loaded: "),
        (lambda folder: (folder / "unet" / "config.json").write_text("{"), "could not be loaded: "),
        (lambda folder: (folder / "text_encoder" / "config.json").write_text("{"), "could not be loaded: "),
    ],
)
def test_a_folder_that_is_no_model_is_named(
    model: Path, tmp_path: Path, damage: Callable[[Path], object], words: str
) -> None:
    folder = shutil.copytree(model, tmp_path / "model")
    damage(folder)
    with pytest.raises(TrainingError) as caught:
        Painter(folder)
    assert str(folder) in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


# --- scores


@pytest.fixture(scope="module")
def painter(model: Path) -> Painter:
    return Painter(model)


def test_a_painter_draws_by_prompt_and_seed(painter: Painter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "_AT_ONCE", 2)
    pictures = painter.draw(["cat", "dog", "cat"], [1, 1, 1])
    assert (pictures.shape, pictures.dtype) == ((3, 64, 64, 3), np.uint8)
    assert abs(pictures[0].astype(int) - pictures[2]).max() <= 2  # in another batch, the same up to rounding
    assert (pictures[0] != pictures[1]).any()
    assert (painter.draw(["cat"], [2])[0] != pictures[0]).any()
    assert {"cat", "kitty", "pizza slice"} <= painter.taught and "feline" not in painter.taught


def _shares(value: Any, path: str = "") -> list[tuple[str, float]]:
    if isinstance(value, dict):
        return [each for name, more in value.items() for each in _shares(more, f"{path}/{name}")]
    return [] if isinstance(value, list) or path.endswith(("/pictures", "/prompts")) else [(path, value)]


class Forger:
    """Draws the real drawings: a model as good as can be."""

    def __init__(self, dataset: Dataset) -> None:
        self.taught = {concept.name for concept in dataset.concepts}
        self.composer = evaluate.Composer(dataset, evaluate.random.Random(0))
        self._owner = {word: each for each in dataset.concepts for word in (*each.words, *each.unseen)}

    def draw(self, prompts: list[str], seeds: list[int], what: str = "") -> np.ndarray:
        numbers = [self.composer.drawings_of(self._owner[prompt].name) for prompt in prompts]
        return self.composer.plain([of[seed % len(of)] for of, seed in zip(numbers, seeds, strict=True)])


def test_the_scores_tell_a_good_model_from_a_bad_one(house: House, home: Path) -> None:
    good = Forger(house.dataset)
    scores = Scores(house.dataset, home, good)  # type: ignore[arg-type]
    concepts = house.dataset.concepts

    def sees(pictures: np.ndarray) -> SimpleNamespace:
        """A judge without fault: the nearest of all drawings."""
        owners = [number for number, each in enumerate(concepts) for _ in good.composer.drawings_of(each.name)]
        real = good.composer.plain([n for each in concepts for n in good.composer.drawings_of(each.name)])
        distances = ((real[None].astype(np.float32) - pictures[:, None]) ** 2).mean((2, 3, 4))
        logits = torch.eye(len(concepts))[[owners[n] for n in distances.argmin(1)]]
        return SimpleNamespace(concepts=logits, features=torch.from_numpy(pictures.reshape(len(pictures), -1)).float())

    scores._look = sees  # type: ignore[method-assign, assignment]
    named, rows = scores._named(concepts)
    assert (named["top-1"], named["top-5"], named["pictures"]) == (1.0, 1.0, 24)
    assert scores._unseen(concepts)["top-1"] == 1.0
    recall = scores._recall(rows)
    assert recall["share nearer than 0.05"] == 1.0
    assert recall["median distance to the nearest training drawing"] < 0.001
    assert recall["the same between training drawings"] > 0.001
    assert scores._variety(concepts[:3])["share of real variety"] > 0.1
    cats = rows["cat"][0][:1]
    scores._painter = SimpleNamespace(draw=lambda prompts, *_: cats.repeat(len(prompts), 0))  # type: ignore[assignment]
    named, rows = scores._named(concepts)
    assert named["top-1"] == round(1 / 12, 4)
    assert rows["cat"][1] == 1.0 and rows["dog"][1] == 0.0
    assert scores._variety(concepts[:3])["share of real variety"] == 0.0
    assert 0 < scores._recall(rows)["share nearer than 0.05"] < 0.2


def test_held_out_lines_become_scenes(house: House, home: Path) -> None:
    scores = Scores(house.dataset, home, None)  # type: ignore[arg-type]
    blue_cat, crowned_owl, pair = (scores._scene(line) for line in little_data.HELD_OUT)
    assert (blue_cat.concept.name, blue_cat.colour, blue_cat.accessory, blue_cat.other) == ("cat", "blue", "", None)
    assert (crowned_owl.concept.name, crowned_owl.accessory, crowned_owl.colour) == ("owl", "a crown", "")
    assert (pair.concept.name, pair.other and pair.other.name) == ("dog", "pizza")
    scores._dataset = SimpleNamespace(concepts=read_concepts())  # type: ignore[assignment]
    for line in read_held_out():
        scene = scores._scene(line)
        assert sum(map(bool, (scene.colour, scene.accessory, scene.other))) == 1, line


def test_held_out_scores_are_judged_apart(house: House, home: Path) -> None:
    """A painter whose cats are blue, whose owls wear no crown, and whose pairs are half there."""
    scores = Scores(house.dataset, home, SimpleNamespace(draw=lambda *_: None))  # type: ignore[arg-type]
    verdict = SimpleNamespace(concepts=torch.zeros(3, 12), colours=torch.zeros(3, 11), accessories=torch.zeros(3, 6))
    verdict.concepts[0, 0] = verdict.concepts[1, 2] = verdict.concepts[2, 1] = 3
    verdict.concepts[:, 3:5] = 1  # second and third of all
    verdict.colours[:, COLOURS.index("blue")] = 1
    verdict.accessories[:, -1] = 1
    scores._look = lambda _: verdict  # type: ignore[method-assign, assignment, return-value]
    assert scores._held_out(1) == {
        "concept": 1.0, "colour": 1.0, "accessory": 0.0, "all at once": 0.5, "pairs, both named": 0.0, "pictures": 3,
    }  # fmt: skip
    verdict.concepts[2, 9] = 2
    assert scores._held_out(1)["pairs, both named"] == 1.0


def test_all_scores_are_shares_and_the_command_line_writes_them_with_a_sheet(
    house: House, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("dataset.npz", "latents.pt"):
        shutil.copy(house.home / name, tmp_path / name)
    monkeypatch.setenv("CALOTYPE_TRAINING_HOME", str(tmp_path))
    monkeypatch.setattr(evaluate, "SHEET", ("cat", "a blue dog on a yellow background"))
    monkeypatch.setattr(sys, "argv", ["evaluate", str(model), "--quick", "--out", str(tmp_path / "out" / "now.json")])
    evaluate.main()
    found = json.loads((tmp_path / "out" / "now.json").read_text("utf-8"))
    assert found.pop("weights") == weights_name(model)
    assert found.pop("quick") is True
    defaults = json.loads((model / "calotype.json").read_text("utf-8"))["defaults"]
    assert found.pop("settings") == {name: defaults[name] for name in ("steps", "guidance", "guidance_rescale")}
    shares = dict(_shares(found))
    assert len(shares) > 15
    for name, value in shares.items():
        assert math.isfinite(value) and 0 <= value <= 1, (name, value)
    assert found["held-out combinations"]["pictures"] == 3
    assert found["trained prompts"]["pictures"] == 4
    assert list(found["by concept"]) == found["taught"] == ["cat", "cherry"]
    assert "by concept" not in capsys.readouterr().out
    assert Image.open(tmp_path / "out" / "now.png").size[0] == 8 * 118


def test_the_command_line_says_in_one_line_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluate", str(tmp_path / "none")])
    with pytest.raises(SystemExit, match=r"^evaluate: .*none is not a model folder"):
        evaluate.main()


def test_a_long_caption_runs_on_below_the_next_tiles() -> None:
    prompts = ["a small blue kitty, flat style", "", "", "", "dog", "", "", ""]
    assert "".join(evaluate._two(prompts, n) for n in range(4)) == prompts[0]
    assert [evaluate._two(prompts, n) for n in range(4, 8)] == ["dog", "", "", ""]
