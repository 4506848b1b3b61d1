"""``calotype plugins``: what is there, whether it is on and why not; and the checks, with an exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from calotype.cli import main
from serving import environment
from strangers import write_plugin

GOOD = """
import calotype
class Mine(calotype.Schedule):
    name, label = "mine", "Mine"
    def sigmas(self, steps, levels, params):
        return [levels.sigma_max * (1 - i / steps) for i in range(steps + 1)]
@calotype.hookimpl
def calotype_schedules(): return [Mine()]
"""
BAD = {
    "a_import": ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
    "b_raises": ("raise RuntimeError('[b]no[/b]')", "RuntimeError: [b]no[/b]"),
    "c_signature": (GOOD.replace("calotype_schedules()", "calotype_schedules(config)"), "config"),
    "d_misspelt": (GOOD.replace("calotype_schedules", "calotype_schedule"), "calotype_schedule"),
    "e_twice": (GOOD.replace('"mine"', '"karras"'), "'karras' is claimed by both karras and e_twice"),
    "f_nothing": ("", "it adds nothing: no hook is implemented (is @calotype.hookimpl missing?)"),
}
IN_USE = GOOD.replace("return [levels", "raise OSError('no film'); return [levels")


@pytest.fixture
def calotype(tmp_path: Path) -> Any:
    """Runs a command in a process of its own that finds the plugins in ``tmp_path``."""

    def run(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
        surroundings = environment(tmp_path / "home", PYTHONPATH=path, COLUMNS="80", **more)
        argv = [sys.executable, "-m", "calotype", *words]
        return subprocess.run(argv, env=surroundings, capture_output=True, text=True, timeout=120, check=False)

    return run


Run = Callable[..., subprocess.CompletedProcess[str]]


def rows(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return {row["name"]: row for row in json.loads(done.stdout)}


def test_list_says_what_each_adds_and_whether_it_is_on(tmp_path: Path, calotype: Run) -> None:
    write_plugin(tmp_path, "my_plugin", GOOD)
    found = rows(calotype("plugins", "list", "--json"))
    assert found["heun"]["adds"] == [{"kind": "sampler", "name": "heun", "label": "Heun"}]
    assert found["upscale"]["on"]
    assert found["my_plugin"] == {
        **{"name": "my_plugin", "version": "1.2", "bundled": False, "on": False, "adds": [], "reviews": []},
        "problem": "not listed in CALOTYPE_PLUGINS",
        "distribution": "unknown",
        "sha256": None,
    }
    on = rows(calotype("plugins", "list", "--json", CALOTYPE_PLUGINS="my_plugin"))["my_plugin"]
    assert (on["on"], on["problem"]) == (True, None)
    assert on["adds"] == [{"kind": "schedule", "name": "mine", "label": "Mine"}]


def test_a_plugin_that_reviews_is_listed_and_checked(tmp_path: Path, calotype: Run) -> None:
    source = "import calotype\n@calotype.hookimpl\ndef calotype_review_prompt(request): return {}\n"
    write_plugin(tmp_path, "my_plugin", source.format("None"))
    on = rows(calotype("plugins", "list", "--json", CALOTYPE_PLUGINS="my_plugin"))["my_plugin"]
    assert (on["on"], on["adds"], on["reviews"]) == (True, [], ["prompts"])
    assert "review of prompts" in calotype("plugins", "list", CALOTYPE_PLUGINS="my_plugin").stdout
    done = calotype("plugins", "check", "my_plugin")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "  ✓ review of prompts: 3 of 3 harmless prompts pass" in done.stdout.splitlines()
    write_plugin(tmp_path, "your_plugin", source.format("False"))
    bad = calotype("plugins", "check", "your_plugin")
    assert bad.returncode == 1
    assert "✗ review of prompts: it returned bool; None lets it pass" in bad.stdout


def test_list_does_not_import_what_is_off(tmp_path: Path, calotype: Run) -> None:
    write_plugin(tmp_path, "my_plugin", f"from pathlib import Path; Path({str(tmp_path / 'was_here')!r}).touch()")
    calotype("plugins", "list")
    assert not (tmp_path / "was_here").exists()


def test_bad_plugins_are_listed_with_their_reasons_and_stop_nothing(tmp_path: Path, calotype: Run) -> None:
    for name, (source, _) in BAD.items():
        write_plugin(tmp_path, name, source)
    write_plugin(tmp_path, "z_good", GOOD)
    listed = ",".join([*BAD, "z_good"])
    found = rows(calotype("plugins", "list", "--json", CALOTYPE_PLUGINS=listed))
    for name, (_, problem) in BAD.items():
        assert not found[name]["on"]
        assert problem in found[name]["problem"]
    assert found["z_good"]["on"]
    assert found["karras"]["on"]
    # nor is a start: the good one is known, and what is refused, without an engine, is the size alone
    started = calotype("imagine", "cat", "--schedule", "mine", "--width", "128", CALOTYPE_PLUGINS=listed)
    assert started.stderr.splitlines()[-1].startswith("error: width, height: ")


def test_the_table_fits_80_columns_and_shows_reasons_as_they_are(tmp_path: Path, calotype: Run) -> None:
    for name, (source, _) in BAD.items():
        write_plugin(tmp_path, name, source)
    done = calotype("plugins", "list", CALOTYPE_PLUGINS=",".join([*BAD, "ghost"]))
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "on, bundled" in done.stdout
    assert "[b]no[/b]" in done.stdout, "a reason is no markup"
    words = " ".join(line[40:].strip() for line in done.stdout.splitlines())
    assert "ghost" in done.stdout
    assert "not installed" in " ".join(words.split())


def test_the_commands_need_no_torch_to_list() -> None:
    code = """
import sys
from calotype.cli import main
code = main(["plugins", "list", "--json"])
print(code, sorted({"torch", "numpy", "PIL", "gradio"} & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.strip() == "0 []"


def test_check_of_a_plugin_that_is_off(tmp_path: Path, calotype: Run) -> None:
    write_plugin(tmp_path, "my_plugin", GOOD)
    done = calotype("plugins", "check", "my_plugin")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "plugin my_plugin 1.2"
    assert "schedule mine" in lines
    assert sum(line.startswith("  ✓ ") for line in lines) == 4
    by_what_it_adds = json.loads(calotype("plugins", "check", "mine", "--json").stdout)
    assert (by_what_it_adds["plugin"], by_what_it_adds["ok"]) == ("my_plugin", True)


def test_check_exits_1_if_a_check_fails(tmp_path: Path, calotype: Run) -> None:
    write_plugin(tmp_path, "my_plugin", IN_USE)
    done = calotype("plugins", "check", "my_plugin")
    assert done.returncode == 1
    assert "  ✗ levels: it raised OSError: no film (my_plugin.py:6)" in done.stdout
    assert done.stderr.strip() == "2 of 4 checks failed"


@pytest.mark.parametrize("name", BAD)
def test_check_says_why_a_plugin_cannot_be_loaded(tmp_path: Path, calotype: Run, name: str) -> None:
    source, problem = BAD[name]
    write_plugin(tmp_path, name, source)
    found = calotype("plugins", "check", name, "--json")
    assert found.returncode == 1
    (check,) = json.loads(found.stdout)["checks"]
    assert (check["name"], check["ok"]) == ("load", False)
    assert problem in check["detail"]


def test_check_of_what_is_not_there(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CALOTYPE_PLUGINS", raising=False)
    assert main(["plugins", "check", "nothing"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: name: 'nothing' is not one of beta, ddim, ")
    assert len(said.splitlines()) == 1


def test_a_plugin_that_raises_in_use_fails_the_job_with_a_reason(tmp_path: Path, calotype: Run) -> None:
    write_plugin(tmp_path, "my_plugin", IN_USE)
    words = ("imagine", "cat", "--steps", "2", "--schedule", "mine", "-o", str(tmp_path / "cat.png"))
    done = calotype(*words, CALOTYPE_PLUGINS="my_plugin")
    assert done.returncode == 1
    assert "schedule mine: it raised OSError: no film" in done.stderr
    assert not (tmp_path / "cat.png").exists()
