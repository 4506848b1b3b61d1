"""Settings that follow from other settings: what is shown, what a model's own defaults are, how large it becomes."""

from __future__ import annotations

from typing import Any

import gradio as gr

from calotype.errors import BadRequest
from calotype_gradio import views
from calotype_gradio.form import Part, Values
from calotype_gradio.handlers import Update
from calotype_gradio.layout import Layout, model_choices, size_labels


class Reactions:
    """Handlers that start nothing; they only keep the form true to itself."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._form = layout.form

    def outputs(self) -> list[Any]:
        """Everything that a reaction may change."""
        form, page = self._form, self._layout
        plain = [form.model, form.sampler, form.schedule, form.steps, form.guidance, form.size, form.seed]
        switches = [part.switch for part in form.postprocessors]
        return [*plain, *switches, *(part.group for part in form.parts()), page.size_note, page.hint, *page.chips]

    async def opened(self) -> Update:
        """Models may have been added since the page was built."""
        catalog = self._form.catalog
        return {
            self._form.model: gr.Dropdown(choices=model_choices(catalog), visible=len(catalog.models) > 1),
            self._form.seed: gr.Number(value=None),
        }

    async def randomized(self, values: Values) -> Update:
        """A seed can be set only while it counts."""
        form = self._form
        return {form.seed: gr.Number(interactive=values.get(form.randomize) is not True)}

    async def chosen(self, values: Values) -> Update:
        """A sampler, a schedule or a post-processor was chosen or set: show what belongs to it."""
        return {**self._groups(values), self._layout.size_note: self._size_note(values)}

    async def sized(self, values: Values) -> Update:
        """A size was chosen: the post-processors that it needs are on, those that would spoil it are off."""
        form, model = self._form, self._form.model_info(values)
        fields = form.catalog.size_choices(model).get(str(values.get(form.size)), {})
        switched: Update = {}
        for part in form.postprocessors:
            if part.name in model.postprocess:
                switched[part.switch] = fields.get("options", {}).get(part.name) is not False
        values = {**values, **switched}
        return {**switched, **self._groups(values), self._layout.size_note: self._size_note(values)}

    async def switched(self, values: Values) -> Update:
        """A post-processor was switched: a size that only holds without it no longer does."""
        form, model = self._form, self._form.model_info(values)
        choices = form.catalog.size_choices(model)
        chosen = choices.get(str(values.get(form.size)), {})
        against = [name for name, value in chosen.get("options", {}).items() if value is False]
        update: Update = {}
        if any(part.name in against and values.get(part.switch) is True for part in form.postprocessors):
            sides = (chosen["width"], chosen["height"])
            update[form.size] = next(key for key, one in choices.items() if (one["width"], one["height"]) == sides)
        values = {**values, **update}
        return {**update, **self._groups(values), self._layout.size_note: self._size_note(values)}

    async def model_changed(self, values: Values) -> Update:
        """Another model: its own best settings, sizes and examples."""
        form, page, model = self._form, self._layout, self._form.model_info(values)
        defaults, sizes = model.defaults, size_labels(form.catalog, model)
        set_to: Update = {
            form.sampler: defaults.sampler,
            form.schedule: defaults.schedule,
            form.steps: defaults.steps,
            form.guidance: defaults.guidance,
            **{part.switch: part.name in model.postprocess for part in form.postprocessors},
        }
        chips = {
            chip: gr.Button(example or "", visible=example is not None)
            for chip, example in zip(page.chips, [*model.examples, *[None] * len(page.chips)], strict=False)
        }
        return {
            **set_to,
            **self._groups({**values, **set_to}),
            **chips,
            form.size: gr.Dropdown(choices=sizes, value=sizes[0][1]),
            page.hint: views.hint(model),
            page.size_note: "",
        }

    def _groups(self, values: Values) -> Update:
        form = self._form
        shown: list[tuple[Part, bool]] = [
            *((part, part.name == values.get(form.sampler)) for part in form.samplers),
            *((part, part.name == values.get(form.schedule)) for part in form.schedules),
            *((part, values.get(part.switch) is True) for part in form.postprocessors),
        ]
        return {part.group: gr.Group(visible=on and bool(part.controls)) for part, on in shown}

    def _size_note(self, values: Values) -> str:
        """What is delivered, where the chosen size does not say it, or what is wrong with the settings."""
        form = self._form
        try:
            resolved = form.catalog.resolve(form.request({**values, form.prompt: "size"}))
        except BadRequest as error:
            return views.problems(form.explain(problem) for problem in error.problems)
        delivered = _size(form.catalog.delivered_size(resolved))
        if delivered == values.get(form.size):
            return ""
        return (
            f'<p class="ct-hint">With these settings the picture is delivered at {delivered.replace("x", " × ")}.</p>'
        )


def _size(sides: tuple[int, int]) -> str:
    return f"{sides[0]}x{sides[1]}"
