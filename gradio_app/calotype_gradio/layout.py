"""What stands where on the page. On a phone the columns lie below one another in the order of this file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import gradio as gr

from calotype.catalog import Catalog
from calotype.checkpoint import ModelInfo
from calotype.request import GUIDANCE_LIMIT, IMAGES_LIMIT, PROMPT_LIMIT, STEPS_LIMIT
from calotype.sampling import Params
from calotype_gradio import views
from calotype_gradio.controls import controls
from calotype_gradio.form import Form, Part

_LOOK_EVERY: Final = 1.5
"""Seconds between two looks at whether the model is loaded, while it is not."""
STRENGTH_STEP: Final = 0.05


@dataclass(frozen=True)
class Layout:
    """Every component that a handler reads or writes."""

    form: Form
    notice: Any
    run: Any
    cancel: Any
    chips: Sequence[Any]
    hint: Any
    status: Any
    stage: Any
    vary_box: Any
    vary: Any
    used: Any
    earlier: Any
    size_note: Any
    timer: Any


def lay_out(catalog: Catalog) -> Layout:
    """Make the components, within the ``gr.Blocks`` that is being built."""
    model = catalog.models[catalog.default_model]
    _html(views.HEADER)
    notice = _html("")
    with gr.Row(elem_classes="ct-ask"):
        prompt = gr.Textbox(
            label="Prompt", placeholder="blue cat", lines=1, max_lines=4, max_length=PROMPT_LIMIT, autofocus=True,
            submit_btn=False, scale=6, min_width=260, elem_id="prompt", interactive=True,
        )  # fmt: skip
        run = gr.Button("Run", variant="primary", scale=1, min_width=96, elem_id="run")
        cancel = gr.Button("Cancel", scale=1, min_width=96, interactive=False, elem_id="cancel")
    chips = _examples(catalog, model)
    hint = _html(views.hint(model))
    with gr.Row(elem_classes="ct-room"):
        with gr.Column(scale=7, min_width=300):
            status = _html(views.status(views.WELCOME), elem_id="status")
            stage = _html(views.EMPTY, elem_id="stage")
            vary_box, vary, start = _vary(model)
            used = _html("", elem_id="used")
        with gr.Column(scale=5, min_width=300, elem_classes="ct-settings"):
            form, size_note = _settings(catalog, model, prompt, start)
    earlier = _html("", elem_id="earlier")
    timer = gr.Timer(_LOOK_EVERY, active=False)
    return Layout(
        form, notice, run, cancel, chips, hint, status, stage, vary_box, vary, used, earlier, size_note, timer
    )


def _examples(catalog: Catalog, model: ModelInfo) -> list[Any]:
    """A button for each example; as many as the model with most of them has."""
    count = max(len(each.examples) for each in catalog.models.values())
    with gr.Row(elem_classes="ct-chips"):
        return [
            gr.Button(
                model.examples[place] if place < len(model.examples) else "",
                visible=place < len(model.examples), size="sm", min_width=40, scale=0,
                elem_id=f"example-{place + 1}",
            )
            for place in range(count)
        ]  # fmt: skip


def _vary(model: ModelInfo) -> tuple[Any, Any, dict[str, Any]]:
    """Under the finished picture: make another one from it. Which one is asked only if several are shown."""
    with gr.Row(visible=False, elem_id="vary-box", elem_classes="ct-vary") as box:
        start = gr.Radio([], label="Start from", visible=False, elem_id="start", interactive=True)
        strength = gr.Slider(
            STRENGTH_STEP, 1, value=model.defaults.strength, step=STRENGTH_STEP, label="How much to change",
            buttons=[], scale=3, min_width=180, elem_id="strength", interactive=True,
        )  # fmt: skip
        button = gr.Button("Vary", scale=1, min_width=96, elem_id="vary")
    return box, button, {"init_image": start, "strength": strength}


def _settings(catalog: Catalog, model: ModelInfo, prompt: Any, start: dict[str, Any]) -> tuple[Form, Any]:
    with gr.Row(elem_classes="ct-seed"):
        seed = gr.Number(
            label="Seed", info="the same seed and words give the same picture", precision=0,
            placeholder="chosen for you", scale=3, min_width=160, elem_id="seed", interactive=False,
        )  # fmt: skip
        randomize = gr.Checkbox(True, label="Randomize", scale=1, min_width=110, elem_id="randomize", interactive=True)
    with gr.Accordion("Advanced", open=False, elem_id="advanced"):
        fields = _plain_fields(catalog, model)
        size_note = _html("", elem_id="size-note")
        registry = catalog.registry
        form = Form(
            catalog=catalog,
            prompt=prompt,
            seed=seed,
            randomize=randomize,
            **fields,
            **start,
            samplers=_parts(registry.samplers.values(), model.defaults.sampler),
            schedules=_parts(registry.schedules.values(), model.defaults.schedule),
            postprocessors=_switched(registry.postprocessors.values(), model),
        )
    return form, size_note


def _plain_fields(catalog: Catalog, model: ModelInfo) -> dict[str, Any]:
    """The request's own fields, set as the model looks best."""
    defaults, sizes = model.defaults, size_labels(catalog, model)
    registry = catalog.registry
    negative = gr.Textbox(
        label="Negative prompt", info="what the picture should keep away from", max_length=PROMPT_LIMIT, lines=1,
        max_lines=3, interactive=True,
    )  # fmt: skip
    chosen = gr.Dropdown(
        model_choices(catalog), value=model.name, label="Model", visible=len(catalog.models) > 1, interactive=True
    )
    with gr.Row():
        sampler = gr.Dropdown(
            _named(registry.samplers.values()), value=defaults.sampler, label="Sampler", min_width=140
        )
        schedule = gr.Dropdown(
            _named(registry.schedules.values()), value=defaults.schedule, label="Schedule", min_width=140
        )
    with gr.Row():
        steps = gr.Slider(1, STEPS_LIMIT, value=defaults.steps, step=1, label="Steps", buttons=[], min_width=180)
        guidance = gr.Slider(
            1, GUIDANCE_LIMIT, value=defaults.guidance, step=0.5, label="Guidance", buttons=[], min_width=180
        )
    with gr.Row():
        images = gr.Slider(1, IMAGES_LIMIT, value=1, step=1, label="Pictures", buttons=[], min_width=180)
        size = gr.Dropdown(sizes, value=sizes[0][1], label="Size", min_width=180, interactive=True)
    return {
        "negative_prompt": negative, "model": chosen, "sampler": sampler, "schedule": schedule, "steps": steps,
        "guidance": guidance, "images": images, "size": size,
    }  # fmt: skip


def _parts(plugins: Iterable[Any], chosen: str) -> list[Part]:
    """Parameters of samplers or schedules; those of the chosen one are seen."""
    return [_part(plugin, visible=plugin.name == chosen) for plugin in plugins]


def _switched(plugins: Iterable[Any], model: ModelInfo) -> list[Part]:
    """Post-processors in the order in which they run, each with its switch."""
    made = []
    for plugin in sorted(plugins, key=lambda plugin: (plugin.order, plugin.name)):
        on = plugin.name in model.postprocess
        switch = gr.Checkbox(on, label=plugin.label, elem_classes="ct-switch", interactive=True)
        made.append(_part(plugin, visible=on, switch=switch))
    return made


def _part(plugin: Any, visible: bool, switch: Any = None) -> Part:
    params: type[Params] = plugin.Params
    shown = visible and bool(params.model_fields)  # an empty group would draw an empty box
    with gr.Group(visible=shown, elem_classes="ct-part") as group:
        return Part(plugin.name, plugin.label, controls(params), group, switch)


def model_choices(catalog: Catalog) -> list[tuple[str, str]]:
    """As a dropdown takes them: title and name."""
    return [(model.title, model.name) for model in catalog.models.values()]


def size_labels(catalog: Catalog, model: ModelInfo) -> list[tuple[str, str]]:
    """As a dropdown takes them: how a size reads, and its name in the catalog."""
    return [(name.replace("x", " × "), name) for name in catalog.size_choices(model)]


def _named(plugins: Iterable[Any]) -> list[tuple[str, str]]:
    return [(plugin.label, plugin.name) for plugin in plugins]


def _html(value: str, elem_id: str | None = None) -> Any:
    return gr.HTML(value, elem_id=elem_id, js_on_load=None, padding=False, apply_default_css=False)
