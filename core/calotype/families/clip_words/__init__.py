"""CLIP's byte-pair vocabulary (Radford et al. 2021), for checkpoints that come without a tokenizer."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, Final

_FILE: Final = Path(__file__).parent / "bpe_simple_vocab_16e6.txt.gz"
_MERGES: Final = 49152 - 256 - 2
END: Final = "<|endoftext|>"
"""What CLIP puts behind a text, and fills it up with."""


def write(folder: Path, *, pad: str = END) -> None:
    """Makes a tokenizer's folder, as ``CLIPTokenizer`` reads it, with ``pad`` behind the end of a text."""
    folder.mkdir(parents=True)
    merges = gzip.decompress(_FILE.read_bytes()).decode().split("\n")[1 : 1 + _MERGES]
    letters = list(_letters().values())
    words = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(merge.split()) for merge in merges)]
    words += ["<|startoftext|>", END]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}), "utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), "utf-8")
    config: dict[str, Any] = {
        "tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True, "unk_token": END,
        "bos_token": "<|startoftext|>", "eos_token": END, "pad_token": pad,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1), "utf-8")


def _letters() -> dict[int, str]:
    """Byte → a letter that can be seen: printable ones stand for themselves, in the order of the vocabulary."""
    own = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in own]
    return {byte: chr(byte) for byte in own} | {byte: chr(256 + place) for place, byte in enumerate(others)}
