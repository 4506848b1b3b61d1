"""The training home lies outside the checkout; a file appears whole or not at all, on a really full disk too."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

import calotype_training
from calotype_training.errors import TrainingError
from calotype_training.home import training_home, write_whole

CHECKOUT = Path(calotype_training.__file__).resolve().parents[2]


def test_the_home_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALOTYPE_TRAINING_HOME", str(tmp_path / "a" / "b"))
    assert training_home() == tmp_path / "a" / "b"
    assert (tmp_path / "a" / "b").is_dir()
    monkeypatch.delenv("CALOTYPE_TRAINING_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert training_home() == tmp_path / ".cache" / "calotype-training"


def test_a_home_in_the_checkout_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(CHECKOUT / "training")
    for wanted in (CHECKOUT / "kept", tmp_path / "link" / "kept"):
        monkeypatch.setenv("CALOTYPE_TRAINING_HOME", str(wanted))
        with pytest.raises(TrainingError, match=r"CALOTYPE_TRAINING_HOME: .* lies in the checkout"):
            training_home()
        assert not wanted.exists()


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CALOTYPE_TRAINING_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(TrainingError, match=r"CALOTYPE_TRAINING_HOME: .*file/home cannot be made: Not a directory"):
        training_home()


def test_a_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    seen: list[bool] = []

    def write(part: Path) -> None:
        part.write_text("one")
        seen.append(path.exists())

    assert write_whole(path, write) == path
    assert (path.read_text(), seen, [each.name for each in path.parent.iterdir()]) == ("one", [False], ["file"])


@pytest.mark.parametrize(
    ("trouble", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full; make room and run it again"),
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
        (RuntimeError("enforce fail\nat some line"), r"the disk may be full \(enforce fail\)"),
    ],
)
def test_what_was_there_stays_when_writing_fails(tmp_path: Path, trouble: Exception, words: str) -> None:
    path = tmp_path / "file"
    path.write_text("before")

    def write(part: Path) -> None:
        part.write_text("half of")
        raise trouble

    with pytest.raises(TrainingError, match=f"file could not be written: .*{words}.*before is intact") as caught:
        write_whole(path, write)
    assert "\n" not in str(caught.value)
    assert (path.read_text(), [each.name for each in tmp_path.iterdir()]) == ("before", ["file"])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("before")
    for write, words in (
        (lambda part: part.write_text("after"), "the disk is full"),
        (lambda part: torch.save(torch.zeros(100_000), part), "the disk may be full"),
    ):
        (tmp_path / ".file.part").symlink_to("/dev/full")
        with pytest.raises(TrainingError, match=words):
            write_whole(path, write)
        assert (path.read_text(), [each.name for each in tmp_path.iterdir()]) == ("before", ["file"])


def test_a_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match=r"file/scores\.json could not be written: .*(Not a directory|File exists)"):
        write_whole(tmp_path / "file" / "scores.json", lambda part: part.write_text("{}"))
