"""From what the fields are set to, to the request that is asked."""

from __future__ import annotations

from typing import Any

import gradio as gr
import pytest

from calotype.catalog import Catalog
from calotype.errors import BadRequest
from calotype_gradio.form import Form
from calotype_gradio.layout import lay_out


@pytest.fixture
def form(catalog: Catalog) -> Form:
    with gr.Blocks(analytics_enabled=False):
        return lay_out(catalog).form


def untouched(form: Form, **changed: Any) -> dict[Any, Any]:
    """The page as it opens, with some of the form's own fields changed."""
    values = {component: component.value for component in form.inputs()}
    return values | {getattr(form, name): value for name, value in changed.items()}


def part(form: Form, name: str) -> Any:
    return next(part for part in form.parts() if part.name == name)


def test_the_untouched_page_asks_for_the_models_own_defaults(form: Form) -> None:
    catalog = form.catalog
    asked = form.request(untouched(form, prompt="blue cat"))
    plain = catalog.resolve(asked.model_copy(update={"seed": 1}))
    model = catalog.model(plain)
    assert asked.seed is None
    assert (plain.sampler, plain.schedule, plain.steps) == (
        model.defaults.sampler, model.defaults.schedule, model.defaults.steps,
    )  # fmt: skip
    assert [plugin.name for plugin, _ in catalog.postprocess_chain(plain)] == list(model.postprocess)


def test_vary_takes_a_new_seed(form: Form) -> None:
    values = untouched(form, prompt="cat", seed=7, randomize=False)
    values[form.init_image] = "ab" * 32
    asked = form.request(values, vary=True)
    assert (asked.seed, asked.init_image) == (None, "ab" * 32)


def test_a_seed_counts_only_while_randomize_is_off(form: Form) -> None:
    assert form.request(untouched(form, prompt="cat", seed=7)).seed is None
    assert form.request(untouched(form, prompt="cat", seed=7, randomize=False)).seed == 7


def test_a_picture_counts_only_for_a_variation(form: Form) -> None:
    values = untouched(form, prompt="tiger", init_image="ab" * 32, strength=0.25)
    assert form.request(values).init_image is None
    varied = form.request(values, vary=True)
    assert (varied.init_image, varied.strength) == ("ab" * 32, 0.25)
    assert varied.model_copy(update={"init_image": None, "strength": None}) == form.request(values)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("init_image", None, "Start from"), ("init_image", "../x", "Start from"), ("init_image", 7, "Start from"),
        ("strength", 0, "How much to change"), ("strength", "much", "How much to change"),
        ("strength", float("nan"), "How much to change"), ("strength", 1.5, "How much to change"),
    ],
)  # fmt: skip
def test_a_wrong_start_is_named_as_the_page_does(form: Form, field: str, value: Any, said: str) -> None:
    values = untouched(form, **({"prompt": "cat", "init_image": "ab" * 32, "strength": 0.5} | {field: value}))
    with pytest.raises(BadRequest) as caught:
        form.request(values, vary=True)
    assert [form.explain(problem)[0] for problem in caught.value.problems] == [said]


def test_only_the_chosen_plugins_parameters_are_sent(form: Form) -> None:
    values = untouched(form, prompt="cat", schedule="karras", sampler="euler_ancestral")
    rho = part(form, "karras").controls[0].component
    assert form.request(values | {rho: 5}).options == {
        "euler_ancestral": {"eta": 1.0}, "karras": {"rho": 5}, "upscale": {"factor": 4},
    }  # fmt: skip
    assert "karras" not in form.request(untouched(form, prompt="cat") | {rho: 5}).options


def test_a_post_processor_is_switched_on_and_off(form: Form) -> None:
    grain, upscale = part(form, "film_grain"), part(form, "upscale")
    asked = form.request(untouched(form, prompt="cat") | {grain.switch: True, upscale.switch: False})
    expected = {"film_grain": {"strength": 0.15, "size": 1}, "upscale": False, "euler_ancestral": {"eta": 1.0}}
    assert asked.options == expected
    chain = form.catalog.postprocess_chain(form.catalog.resolve(asked))
    assert [plugin.name for plugin, _ in chain] == ["film_grain"]


def test_every_size_is_delivered_as_it_says(form: Form) -> None:
    catalog = form.catalog
    for size in catalog.size_choices(catalog.models[catalog.default_model]):
        resolved = catalog.resolve(form.request(untouched(form, prompt="cat", size=size)))
        assert "{}x{}".format(*catalog.delivered_size(resolved)) == size


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("prompt", "", "Prompt"), ("prompt", 5, "Prompt"), ("prompt", None, "Prompt"), ("prompt", "x" * 2001, "Prompt"),
        ("negative_prompt", True, "Negative prompt"), ("steps", "many", "Steps"), ("steps", 151, "Steps"),
        ("steps", 2.5, "Steps"), ("steps", True, "Steps"), ("guidance", "strong", "Guidance"),
        ("guidance", float("nan"), "Guidance"), ("images", 9, "Pictures"), ("sampler", "none", "Sampler"),
        ("sampler", 3, "Sampler"), ("schedule", "", "Schedule"), ("model", "gpt", "Model"), ("model", 1, "Model"),
        ("size", "1x1", "Size"), ("size", 64, "Size"), ("seed", -1, "Seed"), ("seed", 2**53, "Seed"),
        ("seed", 0.5, "Seed"), ("randomize", "yes", "Randomize"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_a_bad_request_that_names_the_field_as_the_page_does(
    form: Form, field: str, value: Any, said: str
) -> None:
    values = untouched(form, **({"prompt": "cat", "randomize": False} | {field: value}))
    with pytest.raises(BadRequest) as caught:
        form.catalog.resolve(form.request(values))
    assert said in [form.explain(problem)[0] for problem in caught.value.problems]


def test_a_wrong_parameter_names_plugin_and_field(form: Form) -> None:
    factor = part(form, "upscale").controls[0].component
    with pytest.raises(BadRequest) as caught:
        form.catalog.resolve(form.request(untouched(form, prompt="cat") | {factor: 3}))
    name, message = form.explain(caught.value.problems[0])
    assert name == "Upscale, Factor"
    assert "2 or 4" in message


def test_a_switch_that_is_neither_on_nor_off(form: Form) -> None:
    with pytest.raises(BadRequest, match="upscale"):
        form.request(untouched(form, prompt="cat") | {part(form, "upscale").switch: "on"})
