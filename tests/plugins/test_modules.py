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
import calotype_plugins
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
    samplers = """ddim ddpm deis dpm_2 dpm_2_ancestral dpmpp_2m dpmpp_2m_sde dpmpp_2s_ancestral dpmpp_3m_sde dpmpp_sde
        euler euler_ancestral euler_cfg_pp gradient_estimation heun ipndm lcm lms res_multistep uni_pc"""
    schedules = "beta ddim_uniform exponential karras kl_optimal linear_quadratic normal sgm_uniform simple"
    assert {entry.name for entry in BUNDLED} == {*samplers.split(), *schedules.split(), "film_grain", "upscale"}


def test_all_that_are_here_are_entry_points() -> None:
    """A file of pyproject.toml's folders that nobody finds would be a sampler that nobody can ask for."""
    folder = Path(calotype_plugins.__file__).parent
    files = {path.stem for kind in ("samplers", "schedules") for path in (folder / kind).glob("[a-z]*.py")}
    found = {entry.name for entry in BUNDLED if ".samplers." in entry.module or ".schedules." in entry.module}
    assert found == files


def test_no_name_and_no_alias_is_used_twice() -> None:
    things = [thing for entry in BUNDLED for thing in offered(entry.load())]
    words = [name for thing in things for name in (thing.name, *getattr(thing, "aliases", ()))]
    assert len(words) == len(set(words))


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
