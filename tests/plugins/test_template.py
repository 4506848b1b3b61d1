"""plugins/template works as it stands: installed by pip into a clean environment, listed, checked, used, gone again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from serving import environment

TEMPLATE = Path(__file__).parents[2] / "plugins" / "template"
NAME = "calotype_example"
DAWDLE = 300.0
"""Seconds for pip, or for importing torch, on a busy machine."""


class CleanEnvironment:
    """A virtual environment that sees the running one's packages and shares nothing else with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # the running environment's pip serves, where it has one: to unpack another takes longer than all the rest
        venv.create(folder / "venv", with_pip=find_spec("pip") is None, symlinks=True)
        self.python = folder / "venv" / "bin" / "python"
        (packages,) = (folder / "venv" / "lib").glob("python*/site-packages")
        # addsitedir, unlike a bare path, also follows the .pth files there: Calotype itself may be an editable install
        here = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
        lines = [f"import site; site.addsitedir({path!r})" for path in here]
        (packages / "running.pth").write_text("\n".join(lines) + "\n", "utf-8")

    def run(self, *words: str | Path, plugins: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
        surroundings = environment(self.folder / "home", CALOTYPE_PLUGINS=plugins, PIP_DISABLE_PIP_VERSION_CHECK="1")
        surroundings.pop("PYTHONPATH", None)
        done = subprocess.run(
            [self.python, "-m", *words],
            env=surroundings,
            cwd=self.folder / "template",
            capture_output=True,
            text=True,
            timeout=DAWDLE,
            check=False,
        )
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
        return done

    def listed(self, plugins: str = "") -> dict[str, Any]:
        """The plugin's row."""
        done = self.run("calotype", "plugins", "list", "--json", plugins=plugins)
        (row,) = [row for row in json.loads(done.stdout) if row["name"] == NAME]
        return row  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> CleanEnvironment:
    """With the template installed."""
    folder = tmp_path_factory.mktemp("stranger")
    shutil.copytree(TEMPLATE, folder / "template", ignore=shutil.ignore_patterns("__pycache__", ".*_cache"))
    made = CleanEnvironment(folder)
    offline: Sequence[str] = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    made.run("pip", "install", *offline, ".")
    # what is tested is what was installed, not what lies in the folder
    (folder / "template" / f"{NAME}.py").unlink()
    return made


def test_it_is_off_until_it_is_listed(clean: CleanEnvironment) -> None:
    off = clean.listed()
    assert (off["on"], off["bundled"], off["adds"]) == (False, False, [])
    assert off["problem"] == "not listed in CALOTYPE_PLUGINS"
    on = clean.listed(NAME)
    assert (on["on"], on["version"], on["problem"]) == (True, "0.1.0", None)
    assert [(thing["kind"], thing["name"]) for thing in on["adds"]] == [
        ("sampler", "ralston"),
        ("post-processor", "salt_print"),
    ]


def test_every_check_passes_also_while_it_is_off(clean: CleanEnvironment) -> None:
    found = json.loads(clean.run("calotype", "plugins", "check", NAME, "--json").stdout)
    assert found["ok"]
    assert {check["of"] for check in found["checks"]} == {"module", "sampler ralston", "post-processor salt_print"}


def test_its_own_test_passes(clean: CleanEnvironment) -> None:
    done = clean.run("pytest", "-q", "-p", "no:cacheprovider")
    assert " passed" in done.stdout
    assert "failed" not in done.stdout


def test_it_makes_a_picture(clean: CleanEnvironment) -> None:
    words = ("calotype", "imagine", "blue cat", "--seed", "7", "--steps", "3", "--set", "salt_print=on", "--json")
    output = clean.folder / "cat.png"
    done = clean.run(*words, "--sampler", "ralston", "-o", output, plugins=NAME)
    made = json.loads(done.stdout)
    assert made["request"]["sampler"] == "ralston"
    assert made["request"]["options"]["salt_print"] == {"strength": 1.0}
    assert made["pictures"][0]["notes"] == []
    red, _, blue = Image.open(output).resize((1, 1)).getpixel((0, 0))  # type: ignore[misc]
    assert red > blue, "a salt print is brown, even of a blue cat"
    refused = clean.run(*words, "--sampler", "ralston", code=2)
    assert "sampler: 'ralston' is not one of" in refused.stderr


def test_the_running_environment_does_not_have_it(clean: CleanEnvironment) -> None:
    code = f"""
from importlib.metadata import entry_points
from importlib.util import find_spec
print(find_spec({NAME!r}), {NAME!r} in entry_points(group="calotype.plugins").names)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=os.sep, capture_output=True, text=True, check=True, timeout=DAWDLE
    )
    assert done.stdout.split() == ["None", "False"]
