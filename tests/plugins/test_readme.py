"""plugins/README.md is all an author reads: every hook stands there, and what it shows works as written."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import calotype
from calotype.plugins import hookspecs
from calotype.plugins.registry import Registry
from calotype.plugins.testing import (
    assert_all,
    check_import,
    check_postprocessor,
    check_reviews,
    check_sampler,
    check_schedule,
)
from strangers import write_plugin

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "plugins" / "README.md").read_text("utf-8")
FRONT_PAGE = (ROOT / "README.md").read_text("utf-8")
HOOKS = sorted(name for name in vars(hookspecs) if name.startswith("calotype_"))


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def plugins(text: str) -> list[str]:
    return [block for block in blocks(text, "python") if "@calotype.hookimpl" in block]


def called(source: str) -> str:
    return [*re.findall(r"def (calotype_review_\w+)", source), *re.findall(r"class (\w+)\(", source)][-1]


@pytest.fixture(params=plugins(PAGE) + plugins(FRONT_PAGE), ids=called)
def shown(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[str, Registry]]:
    """A block of the page, installed and listed."""
    write_plugin(tmp_path, "my_plugin", request.param)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield request.param, Registry.discover(["my_plugin"])
    sys.modules.pop("my_plugin", None)


def test_the_page_shows_one_of_each_kind() -> None:
    shown = "".join(plugins(PAGE))
    assert all(hook in shown for hook in HOOKS)


def test_what_the_page_shows_keeps_the_contract(shown: tuple[str, Registry]) -> None:
    _, registry = shown
    (info,) = [info for info in registry.plugins if info.name == "my_plugin"]
    assert info.on, info.problem
    assert_all(check_import("my_plugin"))
    if info.reviews:
        assert_all(check_reviews(sys.modules["my_plugin"]))
        return
    (name,) = info.adds
    if name in registry.samplers:
        assert_all(check_sampler(registry.samplers[name]))
    elif name in registry.schedules:
        assert_all(check_schedule(registry.schedules[name]))
    else:
        assert_all(check_postprocessor(registry.postprocessors[name]))


def test_what_the_page_shows_is_short(shown: tuple[str, Registry]) -> None:
    source, _ = shown
    lines = [line for line in source.splitlines() if line]
    assert len(lines) <= (10 if "_review_" in source else 20 if "PostProcessor" in source else 30)


def test_other_code_on_the_page_runs() -> None:
    (code,) = [block for block in blocks(PAGE, "python") if block not in plugins(PAGE)]
    exec(compile(code, "plugins/README.md", "exec"), {})


def test_the_entry_point_is_of_the_group_that_is_looked_in() -> None:
    (block,) = blocks(PAGE, "toml")
    assert tomllib.loads(block) == {"project": {"entry-points": {"calotype.plugins": {"my_plugin": "my_module"}}}}


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_and_tested(hook: str) -> None:
    tests = [file for folder in ("tests/plugins", "tests/core/plugins") for file in (ROOT / folder).rglob("test_*.py")]
    assert f"`{hook}(" in PAGE, "not in plugins/README.md"
    assert any(hook in file.read_text("utf-8") for file in tests), "in no test"


@pytest.mark.parametrize("name", [name for name in calotype.__all__ if name[0].isupper()])
def test_every_public_name_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("kind", [calotype.Sampler, calotype.Schedule, calotype.PostProcessor])
def test_every_method_and_attribute_is_on_the_page(kind: type) -> None:
    own = {*vars(kind), *vars(kind)["__annotations__"]}
    for name in (name for name in own if not name.startswith("_")):
        assert re.search(rf"`{name}[`(]", PAGE), name


@pytest.mark.parametrize("name", [f"info.{name}" for name in calotype.ReviewInfo.__dataclass_fields__])
def test_all_that_a_review_is_told_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE


def test_the_review_on_the_page_refuses_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source,) = [block for block in plugins(PAGE) if "_review_" in block]
    write_plugin(tmp_path, "my_plugin", source)
    monkeypatch.syspath_prepend(str(tmp_path))
    reviews = Registry.discover(["my_plugin"]).reviews
    sys.modules.pop("my_plugin", None)
    ((_, prompt),), ((_, picture),) = reviews.of_prompts(), reviews.of_pictures()
    anna, operator = calotype.Person("web:anna"), calotype.Person("operator", operator=True)
    duck = calotype.Request(prompt="A Rubber Duck")
    assert prompt(duck, anna) == calotype.Refusal("no rubber ducks here; ask for another bird", "duck rule")
    assert prompt(duck, operator) is None
    info = calotype.ReviewInfo("web:anna", "night")
    assert picture(Image.new("RGB", (8, 8)), info) == calotype.Refusal("came out all black; try another seed")
    assert picture(Image.new("RGB", (8, 8), "white"), info) is None
