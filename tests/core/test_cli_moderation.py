"""``calotype moderation``: on the database directly, and through the server that owns the data folder."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from calotype.images.intake import encode
from calotype.plugins.testing import picture
from serving import Served, calotype

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("served") / "home")
    try:
        yield served
    finally:
        served.process.kill()
        served.process.wait()


@pytest.fixture(params=["alone", "served"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    """Runs one command, in a fresh home or in that of a running server."""
    home = tmp_path / "home" if request.param == "alone" else request.getfixturevalue("served").home
    return lambda *words: calotype("moderation", *words, home=home, cwd=tmp_path)


def told(done: subprocess.CompletedProcess[str]) -> list[Any]:
    assert (done.returncode, done.stderr) == (0, "")
    found: list[Any] = json.loads(done.stdout)
    return found


def test_words(run: Run) -> None:
    assert told(run("words", "--json")) == []
    done = run("block-word", "Bad  Thing")
    assert (done.returncode, done.stdout, done.stderr) == (0, "blocked: Bad  Thing\n", "")
    (word,) = told(run("words", "--json"))
    assert (word["phrase"], word["added_by"]) == ("bad thing", "operator")
    assert run("words").stdout.startswith("bad thing  (operator, 20")
    assert run("unblock-word", "bad thing").stdout == "allowed again: bad thing\n"
    again = run("unblock-word", "bad thing")
    assert again.returncode == 2
    assert again.stderr.startswith("error: word: 'bad thing' is not among the words that were added")
    assert len(again.stderr.splitlines()) == 1
    assert (run("words").stdout, run("words").stderr) == ("", "no words\n")
    entries = told(run("audit", "--subject", "bad thing", "--json"))
    assert [each["action"] for each in entries] == ["unblock_word", "block_word"]
    assert "operator  block_word  bad thing" in run("audit", "--limit", "2").stdout


def test_pictures(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "a picture.png"
    file.write_bytes(encode(picture(64, 64)))
    done = run("block-picture", str(file), "--reason", "unwanted")
    assert done.returncode == 0, done.stderr
    (blocked,) = told(run("pictures", "--json"))
    assert done.stdout == f"blocked: {blocked['hash']}\n"
    assert blocked["reason"] == "unwanted"
    assert run("pictures").stdout.rstrip().endswith("  unwanted")
    assert run("unblock-picture", blocked["hash"]).returncode == 0
    assert told(run("pictures", "--json")) == []
    entry = told(run("audit", "--subject", blocked["hash"], "--json"))[-1]
    assert len(entry["details"]["files"]) == 1
    (tmp_path / "words.png").write_text("not a picture")
    for words, said in (
        (("block-picture", str(tmp_path / "words.png")), "what: is not a PNG, JPEG or WebP file"),
        (("block-picture", "nothing"), "job: 'nothing' is not one of your jobs"),
        (("unblock-picture", "xyz"), "hash: 'xyz' is not a blocked picture"),
    ):
        bad = run(*words)
        assert bad.returncode in (1, 2), bad.stdout
        assert said in bad.stderr
        assert len(bad.stderr.splitlines()) == 1
