"""The model card and the notices that go with the weights. Figures come from the scores that `make evaluate` wrote."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from string import Template
from typing import Any, Final

from calotype_training.captions import STYLES
from calotype_training.concepts import ACCESSORIES, COLOURS
from calotype_training.dataset import Dataset
from calotype_training.packages import PACKAGES

SCORES: Final = Path(__file__).parents[1] / "results"
"""Where scores are kept in the repository, one JSON file a model."""

_LICENCES: Final = Path(__file__).with_name("licences.txt")
_CARD: Final = Path(__file__).with_name("model_card.md")

_ROWS: Final = (
    ("trained prompts, top-1", ("trained prompts", "top-1")),
    ("trained prompts, top-5", ("trained prompts", "top-5")),
    ("synonyms in no caption, top-1", ("synonyms never trained", "top-1")),
    ("synonyms in no caption, top-5", ("synonyms never trained", "top-5")),
    ("held-out combinations: the concept", ("held-out combinations", "concept")),
    ("… the colour", ("held-out combinations", "colour")),
    ("… the accessory", ("held-out combinations", "accessory")),
    ("… all of it at once", ("held-out combinations", "all at once")),
    ("… pairs: both things among the judge's first three", ("held-out combinations", "pairs, both named")),
    ("variety of eight seeds, as a share of real drawings'", ("variety", "share of real variety")),
)


def card(dataset: Dataset, facts: dict[str, Any], scores: Path = SCORES) -> str:
    """README.md of the model."""
    drawn = [entry for entry in dataset.entries if entry["style"] in STYLES]
    sources = sorted({entry["package"] for entry in drawn})
    found = _read(scores / "current.json")
    if found is not None and (found["weights"] != facts["weights"] or found["quick"]):
        found = None  # of other weights
    return Template(_CARD.read_text("utf-8")).substitute(
        guidance=f"{facts['defaults']['guidance']:g}",
        rescale=f"{facts['defaults']['guidance_rescale']:g}",
        steps=facts["defaults"]["steps"],
        parameters=f"{facts['parameters'] / 1e6:.1f}",
        psnr=f"{facts['psnr']['both']:.1f}",
        count=len(dataset.concepts),
        concepts=", ".join(concept.name for concept in dataset.concepts),
        colours=", ".join(COLOURS),
        accessories=", ".join(ACCESSORIES),
        styles=", ".join(STYLES),
        seen=f"{facts['seen']:,}",
        drawings=f"{len(drawn):,}",
        sources=", ".join(sources),
        ceiling=f"{found['judge on real pictures']['concept']:.1%}" if found else "(not measured)",
        scores=table(scores) if found else "Not evaluated yet.",
    )


def weights_name(folder: Path) -> str:
    """Which weights a model folder holds: the start of the SHA-256 of its U-Net."""
    return hashlib.sha256((folder / "unet" / "diffusion_pytorch_model.safetensors").read_bytes()).hexdigest()[:16]


def table(scores: Path = SCORES) -> str:
    """The scores as Markdown, v0's beside them."""
    now, before = _read(scores / "current.json"), _read(scores / "v0.json")
    if now is None:
        return "Not evaluated yet."
    lines = ["| | these weights | v0 |", "|---|---|---|"]
    for label, (group, name) in _ROWS:
        lines.append(f"| {label} | {now[group][name]:.1%} | {_percent(before, group, name)} |")
    if before:
        both = [name for name in before["taught"] if name in now["by concept"]]
        shares = [sum(scores["by concept"][name] for name in both) / len(both) for scores in (now, before)]
        what = f"trained prompts, top-1, of the {len(both)} things that v0 knows too"
        lines.insert(3, f"| {what} | {shares[0]:.1%} | {shares[1]:.1%} |")
    recall = now["recall"]
    near = recall["median distance to the nearest training drawing"]
    between = recall["the same between training drawings"]
    lines += [
        "",
        "How much is recall: the median distance of a picture to the nearest training drawing of its concept is",
        f"{near:.3f} (RMSE of 0 … 1 pixels); from one training drawing to the next it is {between:.3f}. Nearer than",
        f"0.05, that is near copies, are {recall['share nearer than 0.05']:.0%}.",
    ]
    return "\n".join(lines)


def notice(dataset: Dataset) -> str:
    """NOTICE: whose works the weights learnt from."""
    lines = [
        "NOTICE",
        "======",
        "These weights were trained on the works below. The works themselves are not in this folder; a network this",
        "small can nevertheless reproduce some of them closely, so keep these notices with the weights.",
        "",
    ]
    gives = {package.name: package.gives for package in PACKAGES}  # as it is put today, not when the data was made
    for package in dataset.packages:
        lines += [
            f"{package['name']} {package['version']} (npm): {gives.get(package['name'], package['gives'])}",
            f"    {package['author']}, {package['licence']}, {package['source']}",
        ]
    return "\n".join(lines) + "\n" + _LICENCES.read_text("utf-8")


def _percent(scores: dict[str, Any] | None, group: str, name: str) -> str:
    return f"{scores[group][name]:.1%}" if scores else "–"


def _read(path: Path) -> dict[str, Any] | None:
    found: dict[str, Any] | None = json.loads(path.read_text("utf-8")) if path.exists() else None
    return found
