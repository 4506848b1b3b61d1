"""The command line with an engine of its own: what it writes, and what it leaves behind when it is ended."""

from __future__ import annotations

import signal
import sqlite3
from pathlib import Path

import pytest

from calotype.cli_imagine import Wish, _report, options, report
from calotype.cli_output import Target, slug, write
from calotype.cli_progress import ProgressLine
from calotype.errors import BadRequest, SetupError
from calotype.events import Started
from calotype.home import Home
from serving import PATIENCE, start, until


def test_set_reads_values_as_json_and_switches() -> None:
    given = ["upscale.factor=2", "a.x=1.5", "a.y=true", "a.z=plain words", 'a.q="1"', "film_grain=on", "b=off"]
    assert options(given) == {
        "upscale": {"factor": 2},
        "a": {"x": 1.5, "y": True, "z": "plain words", "q": "1"},
        "film_grain": True,
        "b": False,
    }
    assert options(["upscale.factor=2", "upscale=on"]) == {"upscale": {"factor": 2}}
    assert options(["upscale=on", "upscale.factor=2"]) == {"upscale": {"factor": 2}}
    assert options(["upscale.factor=2", "upscale=off"]) == {"upscale": False}
    assert options(["a.x=1=2"]) == {"a": {"x": "1=2"}}


@pytest.mark.parametrize("text", ["", "=", "a", "a=", "a=2", "a.=1", ".x=1", "=on"])
def test_set_refuses_anything_else(text: str) -> None:
    with pytest.raises(BadRequest, match="set: "):
        options([text])


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("blue cat", "blue-cat"),
        ("  A Panda, with a top-hat!! ", "a-panda-with-a-top-hat"),
        ("../../etc/passwd", "etc-passwd"),
        ("ein Löwe", "ein-löwe"),
        ("!!!", "picture"),
        ("猫" * 100, "猫" * 40),
    ],
)
def test_slug(prompt: str, name: str) -> None:
    assert slug(prompt) == name


def test_names_of_files() -> None:
    assert Target(None).paths("blue cat", 7, 1) == [Path("blue-cat-7.png")]
    assert Target(None).paths("blue cat", 7, 2) == [Path("blue-cat-7-1.png"), Path("blue-cat-7-2.png")]
    assert Target(Path("a/b.png")).paths("blue cat", 7, 1) == [Path("a/b.png")]
    assert Target(Path("a/b.png")).paths("blue cat", 7, 2) == [Path("a/b-1.png"), Path("a/b-2.png")]


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    write(tmp_path / "a.png", b"first")
    write(tmp_path / "a.png", b"second")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a.png": b"second"}
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(SetupError, match="output: "):
        write(tmp_path / "folder.png", b"third")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "folder.png"]


def test_a_note_is_told_above_the_progress_and_not_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(quiet: bool) -> tuple[list[str], str]:
        with ProgressLine(quiet=quiet) as line:
            for event in (Started("j"), Started("j", ("a [note]",)), Started("j", ("a [note]",))):
                line.show(event, loading=False)
        return line.noted, capsys.readouterr().err

    noted, shown = told(quiet=False)
    assert (noted, shown) == ([], ""), "no terminal: the notes come with the result"
    monkeypatch.setenv("FORCE_COLOR", "1")
    noted, shown = told(quiet=False)
    assert noted == ["a [note]"]
    assert shown.count("note: a [note]") == 1
    assert told(quiet=True) == ([], "")


@pytest.mark.parametrize(("noted", "left"), [([], "note: all\nnote: one\n"), (["all"], "note: one\n")])
def test_a_note_of_several_pictures_is_told_once(
    capsys: pytest.CaptureFixture[str], noted: list[str], left: str
) -> None:
    picture = {"index": 0, "seed": 7, "width": 64, "height": 64}
    pictures = [{**picture, "notes": ["all", "one"]}, {**picture, "notes": ["all"]}]
    _report(Wish({}, [], None, False, 0.0), {"pictures": pictures}, [Path("a.png"), Path("b.png")], noted)
    shown = capsys.readouterr()
    assert shown.out == "a.png  64x64  seed 7\nb.png  64x64  seed 7\n"
    assert shown.err == left


def test_report_counts_seconds() -> None:
    picture = {"index": 0, "seed": 7, "sha256": "ab", "width": 64, "height": 64, "notes": []}
    job = {
        "job_id": "1",
        "created": "2026-11-23T00:00:00+00:00",
        "started": "2026-11-23T00:00:01.500000+00:00",
        "finished": "2026-11-23T00:00:03+00:00",
        "request": {"seed": 7},
        "pictures": [picture],
        "record": {"timings": {"model_s": 1.0}},
    }
    found = report(job, [Path("cat.png")], 4.0)
    assert found["timings"] == {"model_s": 1.0, "queued_s": 1.5, "run_s": 1.5, "total_s": 4.0}
    assert (found["seed"], found["seeds"], found["file"], found["files"]) == (7, [7], "cat.png", ["cat.png"])


def test_ctrl_c_cancels_the_job_and_gives_the_home_up(tmp_path: Path) -> None:
    home = tmp_path / "home"
    log = tmp_path / "log"
    process = start("imagine", "blue cat", "--steps", "150", "--images", "8", home=home, cwd=tmp_path, log=log)
    try:
        until(lambda: _statuses(home), "the job in the database")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
    finally:
        process.kill()
    assert _statuses(home) == ["cancelled"]
    assert "Traceback" not in log.read_text()
    again = Home(home)
    assert again.acquire()
    again.release()
    assert not list(tmp_path.glob("*.png"))


def _statuses(home: Path) -> list[str]:
    if not (home / "calotype.db").exists():
        return []
    connection = sqlite3.connect(f"file:{home / 'calotype.db'}?mode=ro", uri=True)
    try:
        return [status for (status,) in connection.execute("SELECT status FROM jobs")]
    except sqlite3.OperationalError:  # no table yet
        return []
    finally:
        connection.close()


def test_without_room_on_the_disk_it_ends_and_says_why(tmp_path: Path) -> None:
    home, log = tmp_path / "home", tmp_path / "log"
    process = start("imagine", "cat", home=home, cwd=tmp_path, log=log, CALOTYPE_DISK_FREE_GB="900000")
    try:
        assert process.wait(PATIENCE) == 2
    finally:
        process.kill()
    told = log.read_text()
    assert "disk: The disk for pictures is nearly full, so none is begun." in told
    assert "CALOTYPE_DISK_FREE_GB" in told
    assert "Traceback" not in told
    assert _statuses(home) == ["cancelled"]


def test_a_reason_to_wait_is_told_once_even_to_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLine(quiet=True) as line:
        line.warn("no room")
        line.warn("no room")
    assert capsys.readouterr().err == "waiting: no room\n"
