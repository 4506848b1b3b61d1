"""Prompts to conditioning: the same bits as ever for a plain prompt, weights, length, and what is remembered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from calotype.engine import conditioning as module
from calotype.engine.conditioning import _IGNORED, TextEncoder, notes
from calotype.engine.models import LoadedModel
from calotype.families.clip import Clip
from calotype.request import Request

TINY = "tiny-sd1"


@pytest.fixture(params=["calotype-emoji", TINY])
def model(bench: Any, request: pytest.FixtureRequest) -> LoadedModel:
    return bench.model(request.param)  # type: ignore[no-any-return]


@pytest.fixture
def embedded(bench: Any) -> LoadedModel:
    return bench.model()  # type: ignore[no-any-return]


@torch.inference_mode()
def by_the_library(model: LoadedModel, text: str) -> torch.Tensor:
    """As diffusers' pipelines do it, and as it was done before there were weights."""
    length = model.info.tokens
    tokens = model.network.clip.tokenizer(
        text, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    )
    hidden: torch.Tensor = model.network.clip.encoder(tokens["input_ids"])[0][0]
    return hidden


def test_a_prompt_without_weights_has_the_bits_that_it_always_had(model: LoadedModel) -> None:
    full = "cat " * (model.info.tokens - 2)
    for text in ("", "blue cat", "a red 🍎, 3d style", "naïve — owl:  (", full.strip(), "x"):
        found = TextEncoder().encode(model, text)
        assert torch.equal(found.hidden, by_the_library(model, text)), text
        assert (found.tokens_lost, found.windows) == (0, 1)


@pytest.mark.parametrize("text", ["(blue cat:1.0)", "(blue:1) (cat:1.0)", "((blue:1):1) cat"])
def test_a_weight_of_one_is_none(embedded: LoadedModel, text: str) -> None:
    assert torch.equal(TextEncoder().encode(embedded, text).hidden, by_the_library(embedded, "blue cat"))


@pytest.mark.parametrize("weight", [0.0, 0.5, 1.5, 5.0])
def test_a_weight_moves_its_own_words_along_the_line_from_the_empty_prompt(model: LoadedModel, weight: float) -> None:
    found = TextEncoder().encode(model, f"a (blue:{weight}) cat").hidden
    usual, empty = by_the_library(model, "a blue cat"), by_the_library(model, "")
    place = 2  # after the start token and "a"
    others = [row for row in range(model.info.tokens) if row != place]
    assert torch.equal(found[others], usual[others])
    assert torch.allclose(found[place], empty[place] + weight * (usual[place] - empty[place]), atol=1e-5)
    assert weight > 0 or torch.equal(found[place], empty[place])


def test_a_weight_is_seen_in_the_picture(bench: Any) -> None:
    """More blue in a blue cat, and less."""
    import io

    import numpy as np
    from PIL import Image

    def blueness(prompt: str) -> float:
        png = bench.alone(prompt=prompt, seed=3, steps=8, options={"upscale": False})[0]
        rgb = np.asarray(Image.open(io.BytesIO(png)), dtype=float)[20:50, 16:48].mean(axis=(0, 1))
        return float(rgb[2] - rgb[0])

    less, usual, more = (blueness(prompt) for prompt in ("(blue:0.4) cat", "blue cat", "(blue:1.5) cat"))
    assert less + 40 < usual < more - 10


def test_a_long_prompt_is_read_in_windows_of_its_own(model: LoadedModel) -> None:
    room = model.info.tokens - 2
    text = "cat " * room + "blue dog, (red:1.3) owl"
    found = TextEncoder().encode(model, text)
    second = TextEncoder().encode(model, "blue dog, (red:1.3) owl").hidden
    assert torch.equal(found.hidden, torch.cat([by_the_library(model, "cat " * room), second]))
    assert (found.windows, found.tokens_lost) == (2, 0)


def test_a_pair_is_of_one_length_and_filled_up_with_nothing_said(model: LoadedModel) -> None:
    encoder, long = TextEncoder(), "cat " * (2 * model.info.tokens)
    short, other = encoder.pair(model, "blue cat", "ugly")
    assert (short.windows, other.windows) == (1, 1)
    assert torch.equal(short.hidden, by_the_library(model, "blue cat"))
    empty = by_the_library(model, "")
    for prompt, negative in ((long, ""), ("", long)):
        pair = encoder.pair(model, prompt, negative)
        filled = pair[0] if prompt == "" else pair[1]
        assert {each.windows for each in pair} == {3}
        assert torch.equal(filled.hidden, torch.cat([empty] * 3))
        assert pair[0].hidden.shape == pair[1].hidden.shape == (3 * model.info.tokens, empty.shape[1])


def test_the_latest_prompts_are_remembered(embedded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []
    real = Clip._run
    monkeypatch.setattr(Clip, "_run", lambda clip, numbers: encoded.append(1) or real(clip, numbers))
    embedded.network.clip._empty = None
    monkeypatch.setattr(module, "_CACHED", 4)
    encoder = TextEncoder()

    def windows(text: str) -> int:
        before = len(encoded)
        encoder.encode(embedded, text)
        return len(encoded) - before

    assert [windows(text) for text in ("cat", "cat", "(cat:1.2)", "(cat:1.3)", "cat " * 40)] == [1, 0, 2, 1, 2]
    assert windows("(cat:1.3)") == 0, "it was pushed out, with four windows at hand"
    assert windows("cat") == 1, "more than four windows were kept"
    assert windows("cat " * 170) == 8
    assert windows("cat " * 170) == 0, "the latest prompt is kept, however long"


def wish(text: str, negative: str = "") -> Request:
    return Request(prompt=text, negative_prompt=negative)


def test_what_is_noted_of_a_negative_prompt_that_is_not_read(embedded: LoadedModel) -> None:
    prompt = TextEncoder().encode(embedded, "cat")
    distilled = replace(embedded, info=replace(embedded.info, facts=replace(embedded.info.facts, guidance="input")))
    for model, negative, said in ((embedded, "ugly", ()), (distilled, "", ()), (distilled, "ugly", (_IGNORED,))):
        assert notes(model, prompt, wish("cat", negative), "job") == said


def test_what_is_noted_of_a_prompt(embedded: LoadedModel) -> None:
    encoder = TextEncoder()
    for text, said in (
        ("cat " * 176, ()),
        ("cat " * 179, ("the last 3 tokens of the prompt did not fit and were not read",)),
    ):
        assert notes(embedded, encoder.encode(embedded, text), wish(text), "job") == said
    assert embedded.info.vocabulary is not None
    first, last = next(name for name, _ in embedded.info.vocabulary.concepts if name.count(" ") == 1).split()
    for text in (f"({first}) {last}", f"({first}:1.3) ({last}:0.9)", r"\(blue\) cat", "((cat)), [dog]"):
        assert notes(embedded, encoder.encode(embedded, text), wish(text), "job") == (), text
    (hint,) = notes(embedded, encoder.encode(embedded, "(xqzptv:1.2)"), wish("(xqzptv:1.2)"), "job")
    assert '"xqzptv"' in hint
