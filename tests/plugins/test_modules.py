"""What holds for every bundled plugin module, found as a stranger's would be: by entry point."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from inspect import getmembers, isfunction
from pathlib import Path
from types import ModuleType

import pytest

import calotype
from calotype.plugins.testing import assert_all, check_postprocessor, check_sampler, check_schedule

BUNDLED = sorted(
    (entry for entry in entry_points(group="calotype.plugins") if entry.module.startswith("calotype_plugins.")),
    key=lambda entry: entry.name,
)
each_plugin = pytest.mark.parametrize("module", [entry.load() for entry in BUNDLED], ids=[e.name for e in BUNDLED])


def offered(module: ModuleType) -> list[calotype.Sampler | calotype.Schedule | calotype.PostProcessor]:
    hooks = [hook for name, hook in getmembers(module, isfunction) if name.startswith("calotype_")]
    return [thing for hook in hooks for thing in hook()]


def test_all_are_here() -> None:
    assert [entry.name for entry in BUNDLED] == [
        *("dpmpp_2m", "euler", "euler_ancestral", "film_grain", "heun", "karras", "normal", "upscale")
    ]


@each_plugin
def test_offers_the_one_thing_it_is_named_after(module: ModuleType) -> None:
    (thing,) = offered(module)
    assert thing.name == module.__name__.rpartition(".")[2]
    assert thing.label
    assert type(thing).__doc__


@each_plugin
def test_keeps_the_contract(module: ModuleType) -> None:
    """As ``calotype plugins check`` asks of everybody's."""
    (thing,) = offered(module)
    if isinstance(thing, calotype.Sampler):
        assert_all(check_sampler(thing))
    elif isinstance(thing, calotype.Schedule):
        assert_all(check_schedule(thing))
    else:
        assert_all(check_postprocessor(thing))


@each_plugin
def test_is_one_small_file(module: ModuleType) -> None:
    assert module.__file__
    assert len(Path(module.__file__).read_text(encoding="utf-8").splitlines()) < 80


def test_importing_and_asking_them_needs_no_torch() -> None:
    """Help and bad input must answer at once."""
    code = f"""
import importlib, sys
for name in {[entry.module for entry in BUNDLED]!r}:
    module = importlib.import_module(name)
    [getattr(module, hook)() for hook in dir(module) if hook.startswith("calotype_")]
print(*sorted({{"torch", "numpy", "PIL", "safetensors", "diffusers"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == ""
