"""A checkpoint in one file: what it is is read from its keys, and every weight finds its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPTokenizer

from calotype.checkpoint import EMBEDDED, inspect
from calotype.engine.models import load
from calotype.errors import ModelError
from calotype.families import clip_words
from calotype.hub import fetched
from calotype.single_file import convert, look
from serving import Served, calotype
from single_files import make_single_file

POST = "first_stage_model.post_quant_conv.weight"
FAMILIES = ["sd1", "sd2", "sdxl"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("files")
    return {
        name: (folder / f"{name}.safetensors", make_single_file(folder / f"{name}.safetensors", name))
        for name in FAMILIES
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_every_weight_finds_its_place(files: Any, tmp_path: Path, family: str) -> None:
    file, parts = files[family]
    info = inspect(convert(file, tmp_path / "made"))
    assert info.family == ("sd1" if family == "sd2" else family)  # a tiny text encoder is not as wide as OpenCLIP's
    assert info.prediction == ("v_prediction" if family == "sd2" else "epsilon")
    network = load(info, torch.device("cpu")).network
    made = {"unet": network.unet, "vae": network.vae, "text_encoder": network.clip.encoder}
    if family == "sdxl":
        made["text_encoder_2"] = network.second.encoder
    assert made.keys() == parts.keys()
    for name, module in made.items():
        ours, theirs = module.state_dict(), parts[name].state_dict()
        shared = {key for key in theirs if not key.endswith("position_ids")}
        assert shared <= ours.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in shared), name
    assert network.unet.config.cross_attention_dim == parts["unet"].config.cross_attention_dim


@pytest.mark.parametrize(
    ("family", "pads"), [("sd1", ["<|endoftext|>"]), ("sd2", ["!"]), ("sdxl", ["<|endoftext|>", "!"])]
)
def test_each_text_encoder_is_filled_up_as_it_was_trained(
    files: Any, tmp_path: Path, family: str, pads: list[str]
) -> None:
    folder = convert(files[family][0], tmp_path / "made")
    names = ["tokenizer", "tokenizer_2"][: len(pads)]
    assert [CLIPTokenizer.from_pretrained(folder / name).pad_token for name in names] == pads


def test_the_words_are_clips_own(tmp_path: Path) -> None:
    clip_words.write(tmp_path / "words")
    words = CLIPTokenizer.from_pretrained(tmp_path / "words")
    assert words("a photo of a cat!").input_ids == [49406, 320, 1125, 539, 320, 2368, 256, 49407]
    assert (words.vocab_size, words.pad_token_id) == (49408, 49407)
    clip_words.write(tmp_path / "other", pad="!")
    assert CLIPTokenizer.from_pretrained(tmp_path / "other").pad_token_id == 0


def without(file: Path, into: Path, *keys: str, **more: torch.Tensor) -> Path:
    tensors = {key: value for key, value in load_file(file).items() if key not in keys}
    save_file(tensors | more, into)
    return into


def test_what_is_missing_or_too_much_is_named(files: Any, tmp_path: Path) -> None:
    file, _ = files["sd1"]
    missing = without(file, tmp_path / "a.safetensors", "model.diffusion_model.middle_block.0.in_layers.2.weight")
    for bad, said in (
        (missing, "its unet lacks 1 of the weights that it should have, such as mid_block.resnets.0.conv1.weight"),
        (
            without(file, tmp_path / "b.safetensors", "first_stage_model.post_quant_conv.weight"),
            "has no first_stage_model.post",
        ),
    ):
        with pytest.raises(ModelError, match=said):
            convert(bad, tmp_path / "made")
        assert not list(tmp_path.glob("*made*")), "nothing is left of a try"


def test_what_is_no_checkpoint_is_said(files: Any, tmp_path: Path) -> None:
    file, _ = files["sd1"]
    whole = file.read_bytes()
    (tmp_path / "half.safetensors").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.safetensors").write_text("not one")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    unet_only = {key: value for key, value in load_file(file).items() if key.startswith("model.")}
    save_file(unet_only, tmp_path / "unet.safetensors")
    for name, said in (
        ("half", "its header promises"), ("text", "is not a whole safetensors file"), ("other", "holds none of what"),
        ("unet", "holds a U-Net of what"), ("nothing", "cannot be read"),
    ):  # fmt: skip
        with pytest.raises(ModelError, match=said):
            look(tmp_path / f"{name}.safetensors")


def test_it_is_written_out_once(files: Any, tmp_path: Path) -> None:
    file, _ = files["sd1"]
    folder = fetched(str(file), tmp_path)
    (folder / "mine").write_text("x")
    assert fetched(str(file), tmp_path) == folder == tmp_path / "sd1"
    assert (folder / "mine").exists()


def test_from_a_file_to_a_picture(files: Any, tmp_path: Path) -> None:
    """Added at a running service; the picture is made by the command line and over HTTP, and is noise."""
    file, _ = files["sd1"]
    served = Served(tmp_path / "home")
    try:
        done = calotype("models", "add", str(file), "--name", "old", home=served.home, cwd=tmp_path)
        assert done.returncode == 0, done.stderr + served.log.read_text()
        assert done.stdout.startswith("old: sd1, 512x512, sha256 ")
        words = (
            "imagine",
            "cat",
            "--model",
            "old",
            "--steps",
            "1",
            "--width",
            "128",
            "--height",
            "128",
            "--seed",
            "3",
            "--json",
        )
        made = calotype(*words, home=served.home, cwd=tmp_path)
        assert made.returncode == 0, made.stderr
        with served.client() as client:
            body = {"prompt": "cat", "model": "old", "steps": 1, "width": 128, "height": 128, "seed": 3}
            job = client.post("/v1/jobs", json=body).json()["job_id"]
            with client.stream("GET", f"/v1/jobs/{job}/events") as events:
                assert "event: finished" in list(events.iter_lines())
            assert client.get(f"/v1/jobs/{job}").json()["pictures"][0]["sha256"] == json.loads(made.stdout)["sha256"]
    finally:
        served.process.kill()
        served.process.wait()


def test_a_folder_is_still_a_folder(tmp_path: Path) -> None:
    assert fetched(str(EMBEDDED), tmp_path) == EMBEDDED.absolute()
