"""LoRA beside the layers of a network: bits, company, refusals. What they do to a picture: test_parity_families.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from calotype.catalog import Catalog
from calotype.checkpoint import EMBEDDED, inspect
from calotype.errors import BadRequest
from calotype.families.adapters import as_diffusers
from calotype.loras import Loras, taken_out
from calotype.request import LORAS_LIMIT, Request

PLACE = "down_blocks_1_attentions_0_transformer_blocks_0_attn2"


def lora(file: Path, *, text: int = 256, inner: int = 128, extra: str = "", seed: int = 0) -> Path:
    """For the embedded U-Net's first cross-attention: to_q and to_k."""
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, width in (("to_q", inner), ("to_k", text)):
        key = f"lora_unet_{PLACE}_{name}"
        tensors[f"{key}.lora_down.weight"] = torch.randn(4, width, generator=generator) * 0.2
        tensors[f"{key}.lora_up.weight"] = torch.randn(inner, 4, generator=generator) * 0.2
        tensors[f"{key}.alpha"] = torch.tensor(4.0)
    if extra:
        tensors[extra] = torch.zeros(4, 4)
    save_file(tensors, file)
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("loras")
    lora(folder / "strong.safetensors")
    lora(folder / "other one.safetensors", seed=1)
    lora(folder / "sdxl.safetensors", text=2048)
    lora(folder / "elsewhere.safetensors", extra="lora_unet_nowhere_to_q.lora_down.weight")
    lora(folder / "hada.safetensors", extra=f"lora_unet_{PLACE}_to_v.hada_w1_a")
    save_file({"weight": torch.zeros(2)}, folder / "no_lora.safetensors")
    whole = (folder / "strong.safetensors").read_bytes()
    (folder / "half.safetensors").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.safetensors").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def bench(registry: Any, make_bench: Any, folder: Path) -> Iterator[Any]:
    bench = make_bench(Catalog(registry, [inspect(EMBEDDED)], Loras(folder)), slots=4)
    yield bench
    bench.host.close()


FIELDS: dict[str, Any] = {"steps": 6, "seed": 3, "options": {"upscale": False}}


def test_it_changes_the_picture_and_leaves_nothing_behind(bench: Any) -> None:
    plain = bench.alone(**FIELDS)
    tagged = bench.alone(prompt="blue cat <lora:strong:0.8>", **FIELDS)
    assert tagged != plain
    assert bench.alone(loras={"strong": 0.8}, **FIELDS) == tagged, "an option says the same as the prompt"
    assert bench.alone(prompt="blue cat <lora:strong:0>", **FIELDS) == plain
    assert bench.alone(**FIELDS) == plain


def test_company_changes_no_bit(bench: Any) -> None:
    """Of whoever has it, has another one, has it with another weight, or has none."""
    prompts = [
        "blue cat",
        "blue cat <lora:strong>",
        "blue cat <lora:strong:0.5>",
        "owl <lora:strong> <lora:other one:0.3>",
    ]
    alone = [bench.alone(prompt=prompt, **FIELDS) for prompt in prompts for _ in range(2)]
    jobs = [bench.join(f"p{n}", prompt=prompts[n // 2], **FIELDS) for n in range(8)]
    assert [bench.pngs(job) for job in jobs] == alone
    assert len({picture for (picture,) in alone}) == 4


def test_the_record_names_them(bench: Any) -> None:
    job = bench.join(prompt="cat <lora:strong:0.5>", **FIELDS)
    bench.pngs(job)
    (found,) = bench.records[job]["loras"]
    assert (found["name"], found["weight"], len(found["sha256"])) == ("strong", 0.5, 64)


@pytest.mark.parametrize(
    ("loras", "said"),
    [
        ({"nobody": 1.0}, "'nobody' is not there; there are "), ({"sdxl": 1.0}, "is for another kind of model"),
        ({"hada": 1.0}, "only plain LoRA is supported"), ({"no_lora": 1.0}, "has no LoRA layers in it"),
        ({"half": 1.0}, "is not a whole safetensors file"), ({"empty": 1.0}, "is not a whole safetensors file"),
        ({"../strong": 1.0}, "is not there"),
    ],
)  # fmt: skip
def test_what_is_refused_before_anything_runs(bench: Any, loras: dict[str, float], said: str) -> None:
    with pytest.raises(BadRequest, match="loras") as refused:
        bench.catalog.resolve(Request.parse({"prompt": "cat", "loras": loras}))
    assert said in str(refused.value)


def test_too_many_or_too_much(bench: Any) -> None:
    for fields in ({"loras": {"strong": 5.0}}, {"loras": {str(n): 1.0 for n in range(LORAS_LIMIT + 1)}}):
        with pytest.raises(BadRequest, match="loras"):
            Request.parse({"prompt": "cat", **fields})
    for prompt in ("cat <lora:strong:9>", "cat " + " ".join(f"<lora:n{n}>" for n in range(LORAS_LIMIT + 1))):
        with pytest.raises(BadRequest, match="loras"):
            bench.catalog.resolve(Request.parse({"prompt": prompt}))
    with pytest.raises(BadRequest, match="prompt: has nothing but LoRA in it"):
        bench.catalog.resolve(Request.parse({"prompt": "<lora:strong>"}))


def test_a_layer_that_fits_nothing_fails_its_own_job_only(bench: Any) -> None:
    job = bench.join(prompt="cat <lora:elsewhere>", **FIELDS)
    assert "1 of its 3 layers fit nothing in this model" in bench.failure(job)
    assert bench.alone(**FIELDS)


def test_resolving_twice_changes_nothing(bench: Any) -> None:
    once = bench.catalog.resolve(
        Request.parse({"prompt": "a  cat <lora:strong:0.5>, red", "loras": {"other one": 1.0}})
    )
    assert (once.prompt, once.loras) == ("a cat , red", {"other one": 1.0, "strong": 0.5})
    assert bench.catalog.resolve(once) == once


@given(st.text(max_size=60))
def test_a_prompt_without_tags_stays_as_it_is(prompt: str) -> None:
    if "<lora:" not in prompt:
        assert taken_out(prompt) == (prompt, {})


@pytest.mark.parametrize(
    ("original", "ours"),
    [
        (
            "input_blocks_1_1_transformer_blocks_0_attn1_to_q",
            "down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q",
        ),
        ("input_blocks_4_1_proj_in", "down_blocks_1_attentions_0_proj_in"),
        ("input_blocks_8_1_proj_in", "down_blocks_2_attentions_1_proj_in"),
        ("middle_block_1_proj_out", "mid_block_attentions_0_proj_out"),
        ("output_blocks_0_1_proj_in", "up_blocks_0_attentions_0_proj_in"),
        ("output_blocks_5_1_proj_in", "up_blocks_1_attentions_2_proj_in"),
        ("down_blocks_0_attentions_0_proj_in", "down_blocks_0_attentions_0_proj_in"),
    ],
)
def test_names_of_the_original_code(original: str, ours: str) -> None:
    """Of SDXL, which has two layers a block."""
    assert as_diffusers(original, 2) == ours
