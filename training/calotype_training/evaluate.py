"""``make evaluate``: how good a model is, computed. Works on any folder of the layout, v0's too.

Pictures are drawn by DDIM with the settings of the folder's own ``calotype.json`` and shown to the judge.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image

from calotype_training.captions import Scene
from calotype_training.card import weights_name
from calotype_training.concepts import ACCESSORIES, COLOURS, Concept, read_held_out
from calotype_training.dataset import Dataset
from calotype_training.errors import TrainingError, first_line
from calotype_training.home import training_home, write_whole
from calotype_training.judge import RealPictures, Verdict, look, train_judge
from calotype_training.latents import latent_map
from calotype_training.pictures import Composer
from calotype_training.progress import Progress
from calotype_training.sheet import contact_sheet, sample
from calotype_training.text import TextEncoder

_JUDGE_STEPS: Final = 3500
_AT_ONCE: Final = 32
_REAL: Final = 512
SHEET: Final = (
    "cat", "dog", "house", "car", "apple", "tree", "rocket", "pizza", "owl", "sunflower", "book", "guitar",
    "blue cat", "pink castle", "owl with a crown", "penguin with sunglasses", "a small blue kitty, flat style",
    "frog on a yellow background", "dog and pizza", "pixel portrait of a woman with red hair",
)  # fmt: skip


class Painter:
    """A model folder that draws prompts, as plain diffusers loads it."""

    def __init__(self, folder: Path) -> None:
        """Raises :class:`TrainingError` if ``folder`` is not a model."""
        from diffusers import AutoencoderTiny, UNet2DConditionModel

        if not (folder / "model_index.json").exists():
            raise TrainingError(f"{folder} is not a model folder: it has no model_index.json")
        try:
            self._unet = UNet2DConditionModel.from_pretrained(folder / "unet", low_cpu_mem_usage=False).float().eval()
            self._vae = AutoencoderTiny.from_pretrained(folder / "vae", low_cpu_mem_usage=False).float().eval()
            self._text = TextEncoder(folder, torch.device("cpu"))
            words = json.loads((folder / "vocabulary.json").read_text("utf-8"))["concepts"]
            defaults = json.loads((folder / "calotype.json").read_text("utf-8")).get("defaults", {})
        except (OSError, ValueError, KeyError) as error:
            raise TrainingError(f"{folder} could not be loaded: {first_line(error)}") from error
        self.taught = {word for name, synonyms in words.items() for word in (name, *synonyms)}
        """Every name that it was taught."""
        self.settings = {name: defaults[name] for name in ("steps", "guidance", "guidance_rescale") if name in defaults}
        """What it draws with; :func:`sample` has its own where the folder says nothing."""

    @torch.inference_mode()
    def draw(self, prompts: list[str], seeds: list[int], what: str = "drawing") -> np.ndarray:
        """(N, 64, 64, 3) uint8."""
        pictures: list[np.ndarray] = []
        progress = Progress(what, len(prompts))
        for start in range(0, len(prompts), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            latents = sample(self._unet, self._text, prompts[part], seeds[part], **self.settings)
            rgb = self._vae.decode(latents / self._vae.config.scaling_factor).sample
            pictures.append(((rgb + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy())
            progress.show(min(start + _AT_ONCE, len(prompts)))
        return np.concatenate(pictures)


class Scores:
    """The measurements of one model."""

    def __init__(self, dataset: Dataset, home: Path, painter: Painter) -> None:
        self._dataset, self._home, self._painter = dataset, home, painter
        self._judge = train_judge(dataset, home, _JUDGE_STEPS)
        self._latents = latent_map(dataset, home)
        self._number = {concept.name: number for number, concept in enumerate(dataset.concepts)}

    def all(self, quick: bool = False) -> dict[str, Any]:
        """Every score. ``quick`` takes a tenth of the prompts."""
        concepts = self._dataset.concepts[:: 10 if quick else 1]
        found: dict[str, Any] = {"judge on real pictures": self._real()}
        found["trained prompts"], rows = self._named(concepts)
        found["synonyms never trained"] = self._unseen(concepts)
        found["held-out combinations"] = self._held_out(4 if not quick else 1)
        found["variety"] = self._variety(concepts[:: 9 if not quick else 3])
        found["recall"] = self._recall(rows)
        found["by concept"] = {name: right for name, (_, right) in rows.items()}
        found["taught"] = [name for name in rows if name in self._painter.taught]
        return found

    def _look(self, pictures: np.ndarray) -> Verdict:
        return look(self._judge, self._latents, pictures)

    def _real(self) -> dict[str, float]:
        """The judge's own ceiling: fresh pictures of real drawings."""
        pictures, labels = RealPictures(self._dataset, self._home, 4711).batch(_REAL)
        pair = labels[:, 0] != labels[:, 1]
        with torch.inference_mode():
            verdict = self._judge(pictures)
        return {
            "concept": _share((verdict.concepts.argmax(1) == labels[:, 0])[~pair]),
            "colour": _share(verdict.colours.argmax(1)[~pair] == labels[~pair, 2]),
            "accessory": _share(verdict.accessories.argmax(1)[~pair] == labels[~pair, 3]),
            "pairs, both named": _share(_both(verdict.concepts, labels[:, :2])[pair]),
        }

    def _named(self, concepts: list[Concept]) -> tuple[dict[str, float], dict[str, tuple[np.ndarray, float]]]:
        """Every concept by its name, two seeds."""
        prompts = [concept.name for concept in concepts for _ in range(2)]
        pictures = self._painter.draw(prompts, [1000 + n for n in range(len(prompts))], "trained prompts")
        logits = self._look(pictures).concepts
        right = torch.tensor([self._number[prompt] for prompt in prompts])
        first = logits.argmax(1) == right
        rows = {
            concept.name: (pictures[2 * n : 2 * n + 2], _share(first[2 * n : 2 * n + 2]))
            for n, concept in enumerate(concepts)
        }
        return {"top-1": _share(first), "top-5": _top5(logits, right), "pictures": len(prompts)}, rows

    def _unseen(self, concepts: list[Concept]) -> dict[str, float]:
        """Every word that never stood in a training caption, one seed."""
        asked = [(word, concept.name) for concept in concepts for word in concept.unseen]
        pictures = self._painter.draw([word for word, _ in asked], [3000 + n for n in range(len(asked))], "synonyms")
        logits = self._look(pictures).concepts
        right = torch.tensor([self._number[name] for _, name in asked])
        return {"top-1": _share(logits.argmax(1) == right), "top-5": _top5(logits, right), "pictures": len(asked)}

    def _held_out(self, seeds: int) -> dict[str, float]:
        """Combinations that training never shows: concept, colour and accessory judged apart, and all at once."""
        scenes = [self._scene(line) for line in read_held_out()]
        asked = [(line, scene) for line, scene in zip(read_held_out(), scenes, strict=True) for _ in range(seeds)]
        prompts = [f"a {line}" if n % 2 else line for n, (line, _) in enumerate(asked)]
        pictures = self._painter.draw(prompts, [5000 + n for n in range(len(asked))], "held-out combinations")
        verdict = self._look(pictures)
        best, colours, worn = verdict.concepts.argmax(1), verdict.colours.argmax(1), verdict.accessories.argmax(1)
        concept, colour, accessory, whole, pairs = [], [], [], [], []
        for n, (_, scene) in enumerate(asked):
            if scene.other is not None:  # two things: both among the first three that the judge names
                wanted = torch.tensor([[self._number[scene.concept.name], self._number[scene.other.name]]])
                pairs.append(float(_both(verdict.concepts[n : n + 1], wanted)))
                continue
            concept.append(float(best[n] == self._number[scene.concept.name]))
            fits = concept[-1]
            if scene.colour:
                colour.append(float(colours[n] == COLOURS.index(scene.colour)))
                fits *= colour[-1]
            if scene.accessory:
                accessory.append(float(worn[n] == list(ACCESSORIES).index(scene.accessory)))
                fits *= accessory[-1]
            whole.append(fits)
        return {
            "concept": _mean(concept), "colour": _mean(colour), "accessory": _mean(accessory),
            "all at once": _mean(whole), "pairs, both named": _mean(pairs), "pictures": len(asked),
        }  # fmt: skip

    def _scene(self, line: str) -> Scene:
        by_name = {concept.name: concept for concept in self._dataset.concepts}
        if " with " in line:
            name, _, accessory = line.partition(" with ")
            return Scene(by_name[name], accessory=accessory)
        if " and " in line:
            one, _, other = line.partition(" and ")
            return Scene(by_name[one], other=by_name[other])
        colour, _, name = line.partition(" ")
        return Scene(by_name[name], colour)

    def _variety(self, concepts: list[Concept]) -> dict[str, float]:
        """Mean distance in the judge's features between eight seeds, as a share of that between real drawings."""
        prompts = [concept.name for concept in concepts for _ in range(8)]
        pictures = self._painter.draw(prompts, [7000 + n for n in range(len(prompts))], "variety")
        drawn = _distances(self._look(pictures).features, 8)
        composer = Composer(self._dataset, random.Random(17), every_drawing=True)
        by_name = composer.drawings_of
        shares = []
        for concept, distance in zip(concepts, drawn, strict=True):
            real = composer.plain(by_name(concept.name))
            shares.append(distance / _distances(self._look(real).features, len(real))[0])
        return {"share of real variety": _mean(shares), "median": float(np.median(shares)), "prompts": len(concepts)}

    def _recall(self, rows: dict[str, tuple[np.ndarray, float]]) -> dict[str, float]:
        """Distance to the nearest training drawing of the same concept (RMSE of 0 … 1 pixels, mirrored ones too)."""
        composer = Composer(self._dataset, random.Random(18))
        drawn, between = [], []
        for name, (pictures, _) in rows.items():
            real = composer.plain(composer.drawings_of(name)).astype(np.float32) / 255
            both = np.concatenate([real, real[:, :, ::-1]])
            drawn += [_nearest(picture.astype(np.float32) / 255, both) for picture in pictures]
            half = len(real)
            between += [
                _nearest(real[n], np.concatenate([both[:n], both[n + 1 : half + n], both[half + n + 1 :]]))
                for n in range(half)
                if half > 1
            ]
        return {
            "median distance to the nearest training drawing": float(np.median(drawn)),
            "the same between training drawings": float(np.median(between)),
            "share nearer than 0.05": _mean([float(distance < 0.05) for distance in drawn]),
        }


def contact(painter: Painter, path: Path) -> None:
    """Twenty prompts, four seeds each, as one picture."""
    prompts = [prompt for prompt in SHEET for _ in range(4)]
    pictures = painter.draw(prompts, [1, 2, 3, 4] * len(SHEET), "contact sheet")
    tiles = [Image.fromarray(picture).resize((112, 112), Image.Resampling.LANCZOS) for picture in pictures]
    captions = [prompt if n % 4 == 0 else "" for n, prompt in enumerate(prompts)]
    captions = [_two(captions, n) for n in range(len(prompts))]
    write_whole(path, lambda part: contact_sheet(tiles, captions, 8).save(part, "PNG", optimize=True))


def _two(captions: list[str], n: int) -> str:
    """A long caption runs on below the next tile of its prompt."""
    return captions[n][:18] if n % 4 == 0 else captions[n - n % 4][18 * (n % 4) : 18 * (n % 4 + 1)]


def _distances(features: torch.Tensor, group: int) -> list[float]:
    """Mean distance within each group of rows."""
    groups = torch.split(features, group)
    return [float(torch.pdist(rows).mean()) if len(rows) > 1 else float("nan") for rows in groups]


def _nearest(picture: np.ndarray, others: np.ndarray) -> float:
    return float(np.sqrt(((others - picture) ** 2).mean((1, 2, 3)).min()))


def _both(logits: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
    """(N,) whether both of (N, 2) concepts are among the first three that are named."""
    return (logits.topk(3).indices[:, None] == pairs[..., None]).any(2).all(1)


def _top5(logits: torch.Tensor, right: torch.Tensor) -> float:
    return _share((logits.topk(5).indices == right[:, None]).any(1))


def _share(hits: torch.Tensor) -> float:
    return round(float(hits.float().mean()), 4)


def _mean(values: list[float]) -> float:
    return round(float(np.nanmean(values)), 4) if values else float("nan")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="make evaluate ARGS=...", description=__doc__)
    parser.add_argument("model", nargs="?", type=Path, help="a model folder (default: the embedded one)")
    parser.add_argument("--out", type=Path, help="write the scores there as JSON, and a contact sheet beside it")
    parser.add_argument("--quick", action="store_true", help="a tenth of the prompts, to see that it works")
    given = parser.parse_args()
    torch.set_num_threads(1)
    try:
        from calotype.checkpoint import EMBEDDED

        home, folder = training_home(), given.model or EMBEDDED
        painter = Painter(folder)
        scores = Scores(Dataset(home / "dataset.npz"), home, painter).all(given.quick)
        scores |= {"weights": weights_name(folder), "settings": painter.settings, "quick": given.quick}
        text = json.dumps(scores, indent=2)
        print(
            json.dumps(
                {name: value for name, value in scores.items() if name not in ("by concept", "taught")}, indent=2
            )
        )
        if given.out:
            write_whole(given.out, lambda part: part.write_text(text + "\n", "utf-8"))
            contact(painter, given.out.with_suffix(".png"))
    except TrainingError as error:
        sys.exit(f"evaluate: {error}")


if __name__ == "__main__":
    main()
