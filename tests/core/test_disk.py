"""Below the limit no picture is begun; said once, and once when there is room again."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from calotype import disk
from calotype.disk import SHORT, Disk


@pytest.fixture(autouse=True)
def _look_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_LOOK_EVERY", 0.0)


def test_short_until_there_is_room(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    free = {tmp_path: 2 * 10**9}
    looked = Disk([tmp_path], 1.5, free.__getitem__)
    with caplog.at_level(logging.INFO, "calotype.disk"):
        assert looked.short() is None
        free[tmp_path] = 10**9
        assert looked.short() == SHORT
        assert looked.short() == SHORT
        free[tmp_path] = 1_500_000_000
        assert looked.short() is None
        assert looked.short() is None
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    assert "only 1.00 GB are free, of CALOTYPE_DISK_FREE_GB=1.5" in caplog.text


def test_every_folder_counts(tmp_path: Path) -> None:
    free = {tmp_path: 10**12, tmp_path / "other": 1}
    assert Disk(list(free), 1.0, free.__getitem__).short() == SHORT


def test_zero_never_looks(tmp_path: Path) -> None:
    assert Disk([tmp_path], 0.0, lambda _: 0).short() is None


def test_a_real_disk(tmp_path: Path) -> None:
    assert Disk([tmp_path], 0.000001).short() is None
    assert Disk([tmp_path], 1_000_000).short() == SHORT
    assert Disk([tmp_path / "not there"], 1_000_000).short() is None  # nothing is known of it


def test_it_is_not_looked_at_for_every_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_LOOK_EVERY", 60.0)
    looks: list[Path] = []

    def free(folder: Path) -> int:
        looks.append(folder)
        return 0

    looked = Disk([tmp_path], 1.0, free)
    assert [looked.short() for _ in range(5)] == [SHORT] * 5
    assert len(looks) == 1
