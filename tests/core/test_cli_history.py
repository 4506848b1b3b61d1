"""What the lists of the command line say."""

from __future__ import annotations

from pathlib import Path

import pytest

from calotype.cli import main
from calotype.cli_people import _table


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
