"""A request meets what is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from calotype import Sampler
from calotype.catalog import Catalog
from calotype.checkpoint import EMBEDDED, inspect
from calotype.errors import BadRequest
from calotype.plugins.registry import Registry
from calotype.request import Request


def test_resolving_fills_every_default_and_is_idempotent(catalog: Catalog) -> None:
    resolved = catalog.resolve(Request(prompt="cat"))
    assert [name for name, value in resolved.model_dump().items() if value is None] == [
        "init_image",
        "strength",
        "mask",
    ]
    assert (resolved.width, resolved.height) == (64, 64)
    assert resolved.options["upscale"] == {"factor": 4}
    assert catalog.delivered_size(resolved) == (256, 256)
    assert catalog.resolve(resolved) == resolved
    assert catalog.resolve(Request.parse(resolved.model_dump(mode="json"))) == resolved


def test_seed_zero_and_guidance_one_are_kept(catalog: Catalog) -> None:
    resolved = catalog.resolve(Request(prompt="cat", seed=0, guidance=1.0, guidance_rescale=0.0))
    assert (resolved.seed, resolved.guidance, resolved.guidance_rescale) == (0, 1.0, 0.0)


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"model": "dall-e-3"}, "model", "'dall-e-3' is not one of calotype-emoji"),
        ({"sampler": "magic"}, "sampler", "'magic' is not one of"),
        ({"schedule": "x" * 200}, "schedule", "…' is not one of beta, ddim_uniform"),
        ({"width": 512}, "width, height", "512x64 is not a size of model calotype-emoji; use 64x64"),
        ({"options": {"magic": {}}}, "options.magic", "no such plugin; there are"),
        ({"options": {"film_grain": {"strength": 7}}}, "options.film_grain.strength", "7 is too large; at most 1"),
        ({"options": {"film_grain": {"colour": 7}}}, "options.film_grain.colour", "parameters of film_grain: strength"),
        ({"options": {"heun": {}}}, "options.heun", "is not used: sampler is euler_ancestral, schedule is normal"),
        ({"sampler": "euler", "options": {"euler": True}}, "options.euler", "only a post-processor is true or false"),
        ({"schedule": "karras", "options": {"karras": {"rho": "no"}}}, "options.karras.rho", "'no' is not a number"),
    ],
)
def test_what_is_not_there_is_named(catalog: Catalog, fields: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        catalog.resolve(Request.parse({"prompt": "cat", **fields}))
    assert caught.value.problems[0].field == field
    assert words in caught.value.problems[0].message


@pytest.mark.parametrize(
    ("asked", "own"),
    [
        (("EulerAncestralDiscreteScheduler", "use_karras_sigmas"), ("euler_ancestral", "karras")),
        (("DPMSolverMultistepScheduler", "linspace"), ("dpmpp_2m", "normal")),
        (("dpmpp_sde_gpu", "trailing"), ("dpmpp_sde", "simple")),
    ],
)
def test_other_programs_names_are_understood_and_ours_are_kept(
    catalog: Catalog, asked: tuple[str, str], own: tuple[str, str]
) -> None:
    resolved = catalog.resolve(Request(prompt="cat", sampler=asked[0], schedule=asked[1]))
    assert (resolved.sampler, resolved.schedule) == own
    assert catalog.resolve(resolved) == resolved


def test_options_may_be_given_by_another_name(catalog: Catalog) -> None:
    options = {"DDIMScheduler": {"eta": 0.5}, "use_karras_sigmas": {"rho": 5.0}}
    resolved = catalog.resolve(Request(prompt="cat", sampler="ddim", schedule="karras", options=options))
    assert resolved.options["ddim"] == {"eta": 0.5}
    assert resolved.options["karras"] == {"rho": 5.0}
    assert not set(options) & set(resolved.options)


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"sampler": "linspace"}, "sampler", "'linspace' is not one of ddim, ddpm"),
        ({"schedule": "DDIMScheduler"}, "schedule", "'DDIMScheduler' is not one of beta"),
        (
            {"sampler": "ddim", "options": {"ddim": {}, "DDIMScheduler": {}}},
            "options.DDIMScheduler",
            "ddim is given twice, by different names",
        ),
        ({"options": {"DDIMScheduler": {}}}, "options.ddim", "is not used: sampler is euler_ancestral"),
    ],
)
def test_another_name_in_the_wrong_place_is_named_as_it_was_given(
    catalog: Catalog, fields: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(BadRequest) as caught:
        catalog.resolve(Request.parse({"prompt": "cat", **fields}))
    assert caught.value.problems[0].field == field
    assert words in caught.value.problems[0].message


def test_postprocessors_run_in_their_order_and_can_be_switched_off(catalog: Catalog) -> None:
    on = catalog.resolve(Request(prompt="cat", options={"film_grain": True}))
    assert [p.name for p, _ in catalog.postprocess_chain(on)] == ["upscale", "film_grain"]
    off = catalog.resolve(Request(prompt="cat", options={"upscale": False}))
    assert catalog.postprocess_chain(off) == []
    assert catalog.delivered_size(off) == (64, 64)
    assert catalog.postprocess_chain(catalog.resolve(off)) == []


def test_cost_counts_rows_calls_pictures_and_pixels(catalog: Catalog) -> None:
    def cost(**fields: Any) -> float:
        return catalog.cost(catalog.resolve(Request.parse({"prompt": "x", "sampler": "euler", "steps": 10, **fields})))

    assert cost(guidance=1.0) * 2 == pytest.approx(cost(guidance=4.0))
    assert cost(images=3) == pytest.approx(3 * cost())
    assert cost(sampler="heun") == pytest.approx(1.9 * cost())


PICTURE = "ab" * 32


def test_a_start_from_a_picture_gets_a_strength_and_nothing_else_does(catalog: Catalog) -> None:
    resolved = catalog.resolve(Request(prompt="cat", init_image=PICTURE))
    assert resolved.strength == catalog.model(resolved).defaults.strength == 0.7
    assert catalog.resolve(resolved) == resolved
    assert catalog.resolve(Request(prompt="cat", init_image=PICTURE, strength=0.25)).strength == 0.25
    assert catalog.resolve(resolved.model_copy(update={"init_image": None})).strength is None
    masked = catalog.resolve(Request(prompt="cat", init_image=PICTURE, mask=PICTURE))
    assert (masked.mask, masked.strength) == (PICTURE, 0.7)
    assert catalog.resolve(masked.model_copy(update={"init_image": None})).mask is None


@pytest.mark.parametrize("sampler", ["euler", "heun"])
def test_only_the_steps_that_are_done_cost(catalog: Catalog, sampler: str) -> None:
    def cost(**fields: Any) -> float:
        return catalog.cost(catalog.resolve(Request.parse({"prompt": "x", "sampler": sampler, **fields})))

    assert cost(steps=20, init_image=PICTURE, strength=0.25) == pytest.approx(cost(steps=5))
    assert cost(steps=20, init_image=PICTURE, strength=1.0) == pytest.approx(cost(steps=20))


class Liar(Sampler):
    name, label = "liar", "Liar"

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def calls(self, steps: int) -> int:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[no-any-return]

    def run(self, x: Any, sigmas: Any, noise: Any, params: Any) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize("answer", [RuntimeError("no"), 0, "many", None, 2.5])
def test_a_plugin_that_cannot_say_what_it_costs_is_refused(registry: Registry, answer: Any) -> None:
    own = Registry()
    own.samplers = {**registry.samplers, "liar": Liar(answer)}
    own.schedules, own.postprocessors = registry.schedules, registry.postprocessors
    catalog = Catalog(own, [inspect(EMBEDDED)])
    with pytest.raises(BadRequest, match=r"sampler: Liar is broken"):
        catalog.cost(catalog.resolve(Request(prompt="x", sampler="liar")))


def test_size_choices_lists_delivered_sizes_default_first(catalog: Catalog) -> None:
    choices = catalog.size_choices(catalog.models["calotype-emoji"])
    assert list(choices) == ["256x256", "64x64"]
    for size, fields in choices.items():
        resolved = catalog.resolve(Request(prompt="x", **fields))
        assert "{}x{}".format(*catalog.delivered_size(resolved)) == size


def test_a_folder_of_ones_own_takes_other_sizes(registry: Registry, tiny_sd1: Path) -> None:
    catalog = Catalog(registry, [inspect(tiny_sd1), inspect(EMBEDDED)])
    assert catalog.default_model == "tiny-sd1"
    assert catalog.resolve(Request(prompt="x", width=128, height=72)).width == 128
    with pytest.raises(BadRequest, match=r"height: 136 is not a multiple of 8 from 64 to 128 \(model tiny-sd1\)"):
        catalog.resolve(Request(prompt="x", width=128, height=136))
