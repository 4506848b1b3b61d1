"""What the lists of the command line say."""

from __future__ import annotations

import os
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from calotype.cli import main
from calotype.cli_people import _table
from calotype.home import Home
from calotype.images.store import ImageStore
from calotype.job import Picture
from calotype.ledger import open_ledger
from calotype.person import Person
from calotype.request import Request


def test_a_search_that_finds_nothing_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CALOTYPE_HOME", str(tmp_path))
    assert main(["history", "search", "anything"]) == 0
    out, err = capsys.readouterr()
    assert (out, err) == ("", "nothing was found\n")


def test_a_persons_key_is_listed_whole(capsys: pytest.CaptureFixture[str]) -> None:
    key = "web:" + "0123456789abcdef" * 2
    person = {
        "key": key, "name": "somebody", "role": "visitor", "weight": 1, "queued": 0, "running": 0, "spent": 0.5,
        "daily_budget": None, "accounts": [key, "discord:1"], "ban_reason": None,
    }  # fmt: skip
    _table([person])
    assert f"{key} +1" in capsys.readouterr().out


def test_erasing_removes_the_files_wherever_they_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home, images = Home(tmp_path / "home"), tmp_path / "elsewhere"
    home.enter()
    store = ImageStore(images)
    with closing(open_ledger(home.database_url, home.backups)) as ledger:
        job = ledger.submit(Person("discord:1"), Request(prompt="cat"), cost=1.0)
        (claimed,) = ledger.claim()
        sha256 = store.put(b"\x89PNG whatever")
        assert ledger.finish(job.id, claimed.epoch, [Picture(0, 1, sha256, 64, 64)], {})
    old = (datetime.now(UTC) - timedelta(hours=1)).timestamp()
    os.utime(store.path(sha256), (old, old))
    monkeypatch.setenv("CALOTYPE_HOME", str(home.folder))
    monkeypatch.setenv("CALOTYPE_IMAGES", str(images))
    assert main(["history", "erase", "--person", "discord:1", "--yes"]) == 0
    assert "1 picture files" in capsys.readouterr().out
    assert not store.has(sha256)
