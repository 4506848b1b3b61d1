"""What was trained becomes one folder that the service takes and that plain diffusers loads."""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from training_house import House

from calotype.checkpoint import inspect
from calotype_training import assemble
from calotype_training.captions import Captions
from calotype_training.card import SCORES, card, table, weights_name
from calotype_training.concepts import ACCESSORIES, COLOURS, HELD_OUT_FILE
from calotype_training.errors import TrainingError
from calotype_training.packages import PACKAGES


def test_the_service_takes_it(model: Path) -> None:
    info = inspect(model)
    assert (info.family, info.prediction, info.latent_channels, info.vae_scale) == ("sd1", "v_prediction", 12, 4)
    assert (info.tokens, info.default_size) == (24, (64, 64))
    assert not list(model.parent.glob(".*"))


def test_plain_diffusers_loads_it_offline_and_draws(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import StableDiffusionPipeline

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    pipe = StableDiffusionPipeline.from_pretrained(model, safety_checker=None, local_files_only=True)
    pipe.set_progress_bar_config(disable=True)
    assert {pipe.unet.dtype, pipe.vae.dtype, pipe.text_encoder.dtype} == {torch.float32}
    assert pipe.scheduler.config.rescale_betas_zero_snr and pipe.scheduler.config.timestep_spacing == "trailing"

    def drawn(prompt: str) -> np.ndarray:
        generator = torch.Generator().manual_seed(0)
        return np.asarray(pipe(prompt, num_inference_steps=2, guidance_scale=4.0, generator=generator).images[0])

    picture = drawn("blue dog")
    assert picture.shape == (64, 64, 3)
    assert picture.std() > 1
    assert (picture != drawn("a pizza, flat style")).any()


def test_the_weights_are_the_average_in_half_precision(model: Path, house: House) -> None:
    from safetensors.torch import load_file

    for part in ("unet", "vae", "text_encoder"):
        files = list((model / part).glob("*.safetensors"))
        assert len(files) == 1
        assert {value.dtype for value in load_file(files[0]).values()} == {torch.float16}
    kept = torch.load(house.home / "unet.pt", weights_only=True)["ema"]
    unet = load_file(model / "unet" / "diffusion_pytorch_model.safetensors")
    assert set(unet) == set(kept)
    assert all(torch.equal(unet[name], value.half()) for name, value in kept.items())
    latents = load_file(model / "latents.safetensors")
    assert torch.equal(latents["forward"], house.latents.forward)


def test_the_vocabulary(model: Path, house: House) -> None:
    vocabulary = json.loads((model / "vocabulary.json").read_text("utf-8"))
    assert vocabulary["concepts"] == {concept.name: list(concept.synonyms) for concept in house.dataset.concepts}
    words = set(vocabulary["words"])
    assert {*COLOURS, "glasses", "crown", "hat", "two", "three", "tiny", "huge", "flat", "3d", "background"} <= words
    assert {word for accessory in ACCESSORIES for word in accessory.split()} <= words
    assert "feline" not in json.dumps(vocabulary)  # never trained


def test_the_notice_names_every_source_with_its_licence(model: Path) -> None:
    notice = (model / "NOTICE").read_text("utf-8")
    for package in PACKAGES:
        line, of_whom = notice[notice.index(f"{package.name} {package.version} (npm)") :].splitlines()[:2]
        assert package.gives in line
        assert package.author in of_whom and package.licence in of_whom and package.source in of_whom
    for words in ("MIT License (Fluent Emoji)", "CC-BY 4.0", "Princeton", "all-MiniLM-L6-v2", "Apache License 2.0"):
        assert words in notice


def test_the_card(model: Path, house: House) -> None:
    card = (model / "README.md").read_text("utf-8")
    assert "$" not in card
    assert f"{len(house.dataset.concepts)} things: cat, dog, owl" in card
    assert f"{sum(bool(entry['style']) for entry in house.dataset.entries)} drawings" in card
    assert "set-judge" not in card
    assert (model / "held_out.txt").read_bytes() == HELD_OUT_FILE.read_bytes()


def test_the_table_of_scores(tmp_path: Path) -> None:
    assert table(tmp_path) == "Not evaluated yet."
    scores = {
        "trained prompts": {"top-1": 0.5, "top-5": 0.75},
        "synonyms never trained": {"top-1": 0.25, "top-5": 0.5},
        "held-out combinations": {
            "concept": 0.1, "colour": 0.2, "accessory": 0.3, "all at once": 0.4, "pairs, both named": 0.05,
        },
        "variety": {"share of real variety": 0.9},
        "recall": {
            "median distance to the nearest training drawing": 0.2, "the same between training drawings": 0.25,
            "share nearer than 0.05": 0.01,
        },
        "by concept": {"cat": 1.0, "dog": 0.0, "owl": 0.5}, "taught": ["cat", "dog", "owl"],
    }  # fmt: skip
    (tmp_path / "current.json").write_text(json.dumps(scores), "utf-8")
    assert "| trained prompts, top-1 | 50.0% | – |" in table(tmp_path)
    (tmp_path / "v0.json").write_text(
        json.dumps(scores | {"by concept": {"cat": 0.5, "dog": 0.0}, "taught": ["cat", "dog"]}), "utf-8"
    )
    assert "| trained prompts, top-1, of the 2 things that v0 knows too | 50.0% | 25.0% |" in table(tmp_path)
    assert "0.200 (RMSE" in table(tmp_path)


def test_scores_of_other_weights_are_not_these_weights(tmp_path: Path, house: House, model: Path) -> None:
    facts = {
        "parameters": 1e6, "psnr": {"both": 30.0}, "seen": 7, "weights": weights_name(model),
        "defaults": {"steps": 20, "guidance": 4.0, "guidance_rescale": 0.5},
    }  # fmt: skip
    scores = json.loads((SCORES / "current.json").read_text("utf-8"))
    (tmp_path / "current.json").write_text(json.dumps(scores), "utf-8")
    assert "Not evaluated yet." in card(house.dataset, facts, tmp_path)
    for quick in (True, False):
        ours = scores | {"weights": facts["weights"], "quick": quick}
        (tmp_path / "current.json").write_text(json.dumps(ours), "utf-8")
        assert ("Not evaluated yet." in card(house.dataset, facts, tmp_path)) is quick


def test_every_word_of_a_caption_is_in_the_vocabulary(house: House, model: Path) -> None:
    known = inspect(model).vocabulary
    assert known is not None
    captions = Captions(house.dataset.concepts)
    rng = random.Random(5)
    for caption in [captions.any(rng) for _ in range(500)] + house.dataset.portrait_captions:
        unknown = [run for run in known.read(caption).runs if run.plural_of is None]
        assert not unknown, caption


# --- again, and trouble


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assemble, "measure", lambda *_: {"linear": 30.0, "decoder": 31.0, "both": 29.5})


def _seen(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("quick")
def test_an_older_folder_is_replaced_but_for_the_services_own_settings(
    model: Path, house: House, tmp_path: Path
) -> None:
    target = tmp_path / "kept"
    (target / "unet").mkdir(parents=True)
    (target / "unet" / "stale.safetensors").write_bytes(b"old")
    (target / "calotype.json").write_text('{"name": "calotype-emoji", "sizes": [[64, 64]]}')
    assemble.assemble(house.dataset, house.home, target)
    assert set(_seen(target)) == {*_seen(model), "calotype.json"}
    assert inspect(target).fixed_sizes and inspect(target).name == "calotype-emoji"
    assert "PSNR of a picture and back 29.5 dB" in (target / "README.md").read_text("utf-8")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


@pytest.mark.usefixtures("quick")
def test_too_large_a_model_leaves_the_older_one(
    model: Path, house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "kept"
    shutil.copytree(model, target)
    before = _seen(target)
    monkeypatch.setattr(assemble, "LIMIT", 10**6)
    with pytest.raises(TrainingError, match=r"^the model has \d+\.\d MB, the limit is .*; choose fewer channels$"):
        assemble.assemble(house.dataset, house.home, target)
    assert _seen(target) == before
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def _truncated(home: Path) -> None:
    path = home / "unet.pt"
    path.write_bytes(path.read_bytes()[:-1000])


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda home: (home / "unet.pt").unlink(), "holds no U-Net; run 'make train' first"),
        (lambda home: (home / "latents.pt").unlink(), "holds no latent map; run 'make train' first"),
        (lambda home: shutil.rmtree(home / "text"), "holds no text encoder; run 'make train' first"),
        (lambda home: (home / "autoencoder.pt").unlink(), "holds no autoencoder; run 'make train' first"),
        (_truncated, "unet.pt is damaged"),
    ],
)
def test_a_part_that_is_missing_is_named(
    model: Path, house: House, tmp_path: Path, damage: Callable[[Path], object], words: str
) -> None:
    home = shutil.copytree(house.home, tmp_path / "home")
    target = shutil.copytree(model, tmp_path / "model")
    before = _seen(target)
    damage(home)
    with pytest.raises(TrainingError) as caught:
        assemble.assemble(house.dataset, home, target)
    assert words in str(caught.value)
    assert _seen(target) == before


def test_the_command_line(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["assemble"])
    with pytest.raises(SystemExit, match=r"^model: .*dataset\.npz is not there; run 'make dataset' first$"):
        assemble.main()
