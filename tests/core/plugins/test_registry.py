"""Plugins come in by entry points, bundled ones too; a bad one is listed and stops nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image

from calotype.catalog import Catalog
from calotype.checkpoint import EMBEDDED, inspect
from calotype.errors import BadRequest, SetupError
from calotype.person import Person
from calotype.plugins.registry import Registry
from calotype.request import Request
from calotype.review import Refusal, ReviewInfo
from strangers import write_plugin

SAMPLER = """
from calotype import Query, Sampler, hookimpl
class Mine(Sampler):
    name, label = {name!r}, "Mine"
    def calls(self, steps): return steps
    def run(self, x, sigmas, noise, params):
        for sigma in sigmas[:-1]:
            x = (yield Query(x, sigma)).denoised
        return x
@hookimpl
def calotype_samplers(): return [Mine()]
"""


ALL_HOOKS = """
import calotype
class Halves(calotype.Schedule):
    name, label = "halves", "Halves"
    def sigmas(self, steps, levels, params): return [levels.sigma_max / 2**i for i in range(steps)] + [0.0]
class Same(calotype.PostProcessor):
    name, label = "same", "Same"
    def process(self, image, info, params): return image
@calotype.hookimpl
def calotype_schedules(): return [Halves()]
@calotype.hookimpl
def calotype_postprocessors(): return (thing for thing in [Same()])
"""


REVIEWS = """
import calotype
@calotype.hookimpl
def calotype_review_prompt(request):
    return calotype.Refusal("no") if "duck" in request.prompt else None
@calotype.hookimpl
def calotype_review_picture(info, image):
    return calotype.Refusal(f"{image.width} {info.person}")
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Installs a module as a distribution with an entry point, as pip would."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made: list[str] = []

    def make(name: str, source: str, version: str = "1.2") -> None:
        write_plugin(tmp_path, name, source, version)
        made.append(name)

    yield make
    for name in made:
        sys.modules.pop(name, None)


def test_bundled_plugins_are_all_on(registry: Registry) -> None:
    assert {"euler", "euler_ancestral", "heun", "dpmpp_2m"} <= set(registry.samplers)
    assert {"normal", "karras"} <= set(registry.schedules)
    assert {"upscale", "film_grain"} <= set(registry.postprocessors)
    assert all(info.on and info.bundled for info in registry.plugins)


def test_a_strangers_plugin_needs_to_be_listed(install) -> None:
    install("my_plugin", SAMPLER.format(name="mine"))
    off = next(info for info in Registry.discover().plugins if info.name == "my_plugin")
    catalog = Catalog(Registry.discover(), [inspect(EMBEDDED)])
    with pytest.raises(BadRequest, match=r"'mine' is not one of .*installed, but off: my_plugin; see calotype plugins"):
        catalog.resolve(Request(prompt="x", sampler="mine"))
    assert (off.on, off.bundled, off.problem) == (False, False, "not listed in CALOTYPE_PLUGINS")
    registry = Registry.discover(["my_plugin"])
    on = next(info for info in registry.plugins if info.name == "my_plugin")
    assert (on.on, on.version, on.adds) == (True, "1.2", ("mine",))
    assert registry.samplers["mine"].calls(3) == 3


def test_one_plugin_may_answer_every_hook(install) -> None:
    install("my_plugin", SAMPLER.format(name="mine") + ALL_HOOKS)
    registry = Registry.discover(["my_plugin"])
    info = next(info for info in registry.plugins if info.name == "my_plugin")
    assert info.adds == ("mine", "halves", "same")
    assert "mine" in registry.samplers
    assert "halves" in registry.schedules
    assert "same" in registry.postprocessors


def test_of_two_strangers_that_claim_a_name_the_first_has_it(install) -> None:
    install("b_plugin", SAMPLER.format(name="mine"))
    install("a_plugin", SAMPLER.format(name="mine"))
    on, off = (info for info in Registry.discover(["b_plugin", "a_plugin"]).plugins if not info.bundled)
    assert (on.name, on.on) == ("a_plugin", True)
    assert (off.name, off.problem) == ("b_plugin", "'mine' is claimed by both a_plugin and b_plugin")


def test_an_alias_never_takes_a_name_away(install) -> None:
    """Names go before aliases, and of two equal aliases the first stays: installing a plugin changes no request."""
    aliases = 'aliases = ("euler", "DDIMScheduler", "Mine"); name, label'
    install("my_plugin", SAMPLER.format(name="mine").replace("name, label", aliases))
    install("other", SAMPLER.format(name="uni_pc_bh2"))
    registry = Registry.discover(["my_plugin", "other"])
    asked = ("euler", "DDIMScheduler", "Mine", "uni_pc_bh2", "nobody")
    assert [registry.name_of(name) for name in asked] == ["euler", "ddim", "mine", "uni_pc_bh2", "nobody"]


@pytest.mark.parametrize(
    ("aliases", "problem"),
    [
        ('("a b",)', "mine: alias 'a b' is not a word of letters, digits and _, 60 at most"),
        ("(3,)", "mine: alias 3 is not a word of letters, digits and _, 60 at most"),
        ('"Mine"', "mine: aliases is a text; it must be a tuple of them"),
    ],
)
def test_aliases_that_are_none(install, aliases: str, problem: str) -> None:
    source = SAMPLER.format(name="mine").replace("name, label", f"aliases = {aliases}; name, label")
    install("my_plugin", source)
    (info,) = [info for info in Registry.discover(["my_plugin"]).plugins if info.name == "my_plugin"]
    assert (info.on, info.problem) == (False, problem)


def test_a_plugin_is_taken_whole_or_not_at_all(install) -> None:
    install("my_plugin", SAMPLER.format(name="mine") + ALL_HOOKS.replace('"halves"', '"karras"'))
    registry = Registry.discover(["my_plugin"])
    assert not {"mine", "same"} & {*registry.samplers, *registry.postprocessors}
    assert type(registry.schedules["karras"]).__module__ == "calotype_plugins.schedules.karras"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("import no_such_module", "ModuleNotFoundError"),
        ("raise RuntimeError('no')", "RuntimeError: no"),
        ("x = 1", "it adds nothing"),
        (SAMPLER.format(name="euler"), "'euler' is claimed by both euler and my_plugin"),
        (SAMPLER.format(name="Bad Name"), "is not a lower-case word"),
        ("import calotype\n@calotype.hookimpl\ndef calotype_samplers(wrong): return []", "wrong"),
        ("import calotype\n@calotype.hookimpl\ndef calotype_smaplers(): return []", "calotype_smaplers"),
        ("import calotype\n@calotype.hookimpl\ndef calotype_samplers(): return [3]", "returned int"),
        ("import calotype\n@calotype.hookimpl\ndef calotype_samplers(): return 3", "it must return a list"),
        ("import calotype\n@calotype.hookimpl\ndef calotype_samplers(): return []", "returned an empty list"),
        ("import calotype\n@calotype.hookimpl\ndef calotype_review_prompt(words): return None", "words"),
    ],
)
def test_a_bad_plugin_is_listed_and_stops_nothing(install, source: str, problem: str) -> None:
    install("my_plugin", source)
    registry = Registry.discover(["my_plugin"])
    info = next(info for info in registry.plugins if info.name == "my_plugin")
    assert not info.on
    assert problem in (info.problem or "")
    assert "euler" in registry.samplers


def test_a_listed_plugin_that_is_not_installed_is_an_error() -> None:
    with pytest.raises(SetupError, match="CALOTYPE_PLUGINS: ghost is not installed"):
        Registry.discover(["ghost"])


def test_a_plugin_that_only_reviews(install) -> None:
    install("my_plugin", REVIEWS)
    registry = Registry.discover(["my_plugin"])
    info = next(info for info in registry.plugins if info.name == "my_plugin")
    assert (info.on, info.adds, info.reviews) == (True, (), ("prompts", "pictures"))
    ((name, prompt),), ((_, picture),) = registry.reviews.of_prompts(), registry.reviews.of_pictures()
    assert name == "my_plugin"
    anna = Person("web:anna")
    assert prompt(Request(prompt="a cat"), anna) is None
    assert prompt(Request(prompt="a duck"), anna) == Refusal("no")
    assert picture(Image.new("RGB", (9, 9)), ReviewInfo("web:anna", None)) == Refusal("9 web:anna"), "in any order"
    assert not registry.reviews.fail_closed
    assert Registry.discover().reviews.reviewers == ()


def test_reviews_are_asked_in_order_of_their_plugins(install) -> None:
    install("b_plugin", REVIEWS)
    install("a_plugin", SAMPLER.format(name="mine") + REVIEWS.split("def calotype_review_picture", maxsplit=1)[0][:-20])
    install("c_plugin", "import calotype\n" + REVIEWS.split("None\n")[1])
    reviews = Registry.discover(["c_plugin", "b_plugin", "a_plugin"], public=True).reviews
    assert [each.plugin for each in reviews.reviewers] == ["a_plugin", "b_plugin", "c_plugin"]
    assert [plugin for plugin, _ in reviews.of_prompts()] == ["a_plugin", "b_plugin"]
    assert [plugin for plugin, _ in reviews.of_pictures()] == ["b_plugin", "c_plugin"]
    assert reviews.fail_closed


def test_in_public_mode_nothing_starts_without_a_plugin_that_may_be_a_review(install) -> None:
    install("my_plugin", "import no_such_module")
    install("unlisted", "import no_such_module")
    with pytest.raises(SetupError, match=r"PLUGINS: my_plugin cannot be loaded: .*no_such_module.*leave it out"):
        Registry.discover(["my_plugin"], public=True)
    Registry.discover(public=True)


def test_a_plugin_that_is_on_tells_where_its_code_comes_from(registry: Registry) -> None:
    for info in registry.plugins:
        assert info.distribution == "calotype"
        assert info.sha256 is not None and len(info.sha256) == 64


def test_edited_code_is_told_although_the_version_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def loaded() -> tuple[str, str | None]:
        sys.modules.pop("my_plugin", None)
        (info,) = [info for info in Registry.discover(["my_plugin"]).plugins if info.name == "my_plugin"]
        assert info.distribution == "my_plugin"
        return info.version, info.sha256

    monkeypatch.syspath_prepend(tmp_path)
    write_plugin(tmp_path, "my_plugin", SAMPLER.format(name="mine"))
    first = loaded()
    (tmp_path / "my_plugin.py").write_text(SAMPLER.format(name="mine") + "# edited", "utf-8")
    second = loaded()
    sys.modules.pop("my_plugin", None)
    assert first[0] == second[0]
    assert first[1] != second[1]
