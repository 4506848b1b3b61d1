"""npm packages: the pinned archive or none, fetched once. The npm here is a shell script; the archives are real."""

from __future__ import annotations

import base64
import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from calotype_training import packages
from calotype_training.errors import TrainingError
from calotype_training.packages import PACKAGES, Package, fetch


def _archive(path: Path, files: dict[str, bytes]) -> str:
    """A .tgz as npm packs it, everything in a folder ``package``; its sha512 in base64."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            about = tarfile.TarInfo(f"package/{name}")
            about.size = len(content)
            tar.addfile(about, io.BytesIO(content))
    return base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()


class Npm:
    """A registry of two packages and an ``npm`` that brings them."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.bin, self.store, self.log = folder / "bin", folder / "store", folder / "log"
        self.bin.mkdir()
        self.store.mkdir()
        drawn = _archive(self.store / "sets-drawn-1.0.0.tgz", {"icons.json": b"{}", "info/a.txt": b"a"})
        words = _archive(self.store / "words-2.1.0.tgz", {"words.txt": b"cat"})
        self.packages = (
            Package("@sets/drawn", "1.0.0", drawn, "MIT", "One", "example.org", "drawings"),
            Package("words", "2.1.0", words, "MIT", "Two", "example.org", "words"),
        )
        patch.setattr(packages, "PACKAGES", self.packages)
        patch.setenv("PATH", f"{self.bin}:/usr/bin:/bin")
        self.says(f'cp "{self.store}/$(echo "$2" | sed "s/^@//; s|/|-|; s/@/-/").tgz" .')

    def says(self, script: str) -> None:
        path = self.bin / "npm"
        path.write_text(f'#!/bin/sh\necho "$@" >> {self.log}\n{script}\n')
        path.chmod(0o755)

    @property
    def asked(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Npm:
    return Npm(tmp_path, monkeypatch)


def test_packages_are_unpacked_and_fetched_once(npm: Npm, tmp_path: Path) -> None:
    home = tmp_path / "home"
    found = fetch(home)
    assert found == {"@sets/drawn": home / "node_modules/@sets/drawn", "words": home / "node_modules/words"}
    assert (found["@sets/drawn"] / "info/a.txt").read_bytes() == b"a"
    assert (found["words"] / "words.txt").read_bytes() == b"cat"
    assert [line.split()[:2] for line in npm.asked] == [["pack", "@sets/drawn@1.0.0"], ["pack", "words@2.1.0"]]
    npm.says("exit 1")
    assert fetch(home) == found
    assert len(npm.asked) == 2
    assert sorted(path.name for path in (home / "node_modules").iterdir()) == ["@sets", "words"]


def test_what_was_cut_off_while_unpacking_is_unpacked_again(npm: Npm, tmp_path: Path) -> None:
    home = tmp_path / "home"
    folder = fetch(home)["words"]
    (folder / ".calotype").unlink()
    (folder / "words.txt").write_text("half")
    (folder.with_name("words.part") / "package").mkdir(parents=True)
    fetch(home)
    assert (folder / "words.txt").read_bytes() == b"cat"
    assert not folder.with_name("words.part").exists()
    assert len(npm.asked) == 2  # the archive was there


def test_another_content_is_refused_and_removed(npm: Npm, tmp_path: Path) -> None:
    home = tmp_path / "home"
    _archive(npm.store / "words-2.1.0.tgz", {"words.txt": b"dog"})
    with pytest.raises(
        TrainingError, match=r"^words@2\.1\.0: its archive is not the pinned one \(sha512 .*run it again"
    ):
        fetch(home)
    assert not (home / "archives" / "words-2.1.0.tgz").exists()
    assert not (home / "node_modules" / "words").exists()
    assert (home / "node_modules/@sets/drawn/icons.json").exists()
    with pytest.raises(TrainingError, match="not the pinned one"):
        fetch(home)
    assert len(npm.asked) == 3  # it was asked for anew


def test_a_new_pin_replaces_what_is_there(npm: Npm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    fetch(home)
    integrity = _archive(npm.store / "words-2.2.0.tgz", {"others.txt": b"owl"})
    newer = Package("words", "2.2.0", integrity, "MIT", "Two", "example.org", "words")
    monkeypatch.setattr(packages, "PACKAGES", (newer,))
    folder = fetch(home)["words"]
    assert sorted(path.name for path in folder.iterdir()) == [".calotype", "others.txt"]


def test_no_npm(npm: Npm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (npm.bin / "npm").unlink()
    monkeypatch.setenv("PATH", str(npm.bin))
    with pytest.raises(TrainingError, match=r"^npm: it is not installed; .*Install Node"):
        fetch(tmp_path / "home")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            "echo 'npm error code E404\nnpm error 404 Not Found: words\n"
            "npm error A complete log of this run can be found in: /x' >&2; exit 1",
            "404 Not Found: words",
        ),
        ("exit 7", "no archive came"),
        ("exit 0", "no archive came"),
    ],
)
def test_npm_fails(npm: Npm, tmp_path: Path, script: str, words: str) -> None:
    npm.says(script)
    with pytest.raises(TrainingError) as caught:
        fetch(tmp_path / "home")
    assert str(caught.value) == f"@sets/drawn@1.0.0 could not be fetched: {words}"


def test_npm_is_not_told_to_hide_its_errors(npm: Npm, tmp_path: Path) -> None:
    fetch(tmp_path / "home")
    assert not [line for line in npm.asked if "--silent" in line]


def test_the_pins_are_sha512_and_every_package_has_its_licence() -> None:
    assert len({package.name for package in PACKAGES}) == len(PACKAGES)
    for package in PACKAGES:
        assert len(base64.b64decode(package.integrity, validate=True)) == 64
        assert package.licence and package.author and package.source and package.gives
        assert "SA" not in package.licence  # nothing under a share-alike licence
