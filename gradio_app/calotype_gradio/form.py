"""The page's fields, and the one place where what they are set to becomes a request.

Nothing that arrives is trusted: Gradio's endpoints are public, so any field may hold any plain value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from calotype.catalog import Catalog
from calotype.checkpoint import ModelInfo
from calotype.errors import BadRequest, Problem
from calotype.request import Request
from calotype_gradio.controls import Control, given

Values: TypeAlias = Mapping[Any, Any]
"""Component → what it is set to, as Gradio hands it to a handler."""


@dataclass(frozen=True)
class Part:
    """A plugin on the page: its controls, what holds them, and, for a post-processor, its switch."""

    name: str
    label: str
    controls: list[Control]
    group: Any
    switch: Any = None


@dataclass(frozen=True)
class Form:
    """Every component that says something about the picture. The names are the request's own where it has them."""

    catalog: Catalog
    prompt: Any
    negative_prompt: Any
    seed: Any
    randomize: Any
    model: Any
    sampler: Any
    schedule: Any
    steps: Any
    guidance: Any
    images: Any
    size: Any
    init_image: Any
    strength: Any
    samplers: list[Part] = field(default_factory=list)
    schedules: list[Part] = field(default_factory=list)
    postprocessors: list[Part] = field(default_factory=list)

    def inputs(self) -> set[Any]:
        """All of them, for an event's ``inputs``."""
        return {
            *self._plain().values(),
            self.randomize,
            self.size,
            *self._start().values(),
            *(control.component for part in self.parts() for control in part.controls),
            *(part.switch for part in self.postprocessors),
        }

    def parts(self) -> list[Part]:
        """Every plugin's part."""
        return [*self.samplers, *self.schedules, *self.postprocessors]

    def request(self, values: Values, *, vary: bool = False) -> Request:
        """What is asked for; with ``vary``, starting from the picture that is shown, with a new seed.

        Raises :class:`BadRequest`; what depends on the catalog is checked when it is resolved.
        """
        model = self.model_info(values)
        data = {name: values.get(component) for name, component in self._plain().items()}
        # the shown picture's own seed would begin with the very noise that it was drawn from
        if vary or _is_on("randomize", values.get(self.randomize)):
            data["seed"] = None
        if vary:
            data |= {name: values.get(component) for name, component in self._start().items()}
            if not data["init_image"]:
                raise BadRequest.of("init_image", "no picture is shown; make one first")
        size = self._size(values, model)
        options = self._options(values, model)
        options.update({name: value for name, value in size.pop("options", {}).items() if value is False})
        return Request.parse(
            {name: value for name, value in (data | size).items() if value is not None} | {"options": options}
        )

    def model_info(self, values: Values) -> ModelInfo:
        """The chosen model; the default one if what is set is not the name of any (resolving says so)."""
        name = values.get(self.model)
        models = self.catalog.models
        return models[name] if isinstance(name, str) and name in models else models[self.catalog.default_model]

    def explain(self, problem: Problem) -> tuple[str, str]:
        """The field as it is called on the page, and what is wrong with it."""
        named = {**self._plain(), **self._start(), "randomize": self.randomize, "size": self.size}
        labels = {name: component.label for name, component in named.items()}
        for part in self.parts():
            labels[f"options.{part.name}"] = part.label
            for control in part.controls:
                labels[f"options.{part.name}.{control.field}"] = f"{part.label}, {control.component.label}"
        return labels.get(problem.field, problem.field), problem.message

    def _plain(self) -> dict[str, Any]:
        """Fields that a request takes as they are."""
        return {
            "prompt": self.prompt,
            "negative_prompt": self.negative_prompt,
            "seed": self.seed,
            "model": self.model,
            "sampler": self.sampler,
            "schedule": self.schedule,
            "steps": self.steps,
            "guidance": self.guidance,
            "images": self.images,
        }

    def _start(self) -> dict[str, Any]:
        """Fields that count only for a picture made from another."""
        return {"init_image": self.init_image, "strength": self.strength}

    def _size(self, values: Values, model: ModelInfo) -> dict[str, Any]:
        chosen = values.get(self.size)
        if chosen is None:
            return {}
        choices = self.catalog.size_choices(model)
        if not isinstance(chosen, str) or chosen not in choices:
            raise BadRequest.of("size", f"{str(chosen)[:40]!r} is not one of {', '.join(choices)}")
        return dict(choices[chosen])

    def _options(self, values: Values, model: ModelInfo) -> dict[str, Any]:
        """Only of what is chosen: what is set in hidden controls does not count."""
        options: dict[str, Any] = {}
        for part in self.samplers + self.schedules:
            if part.name in (values.get(self.sampler), values.get(self.schedule)) and part.controls:
                options[part.name] = given(part.controls, values)
        for part in self.postprocessors:
            if _is_on(f"options.{part.name}", values.get(part.switch)):
                options[part.name] = given(part.controls, values)
            elif part.name in model.postprocess:  # it would run unless switched off
                options[part.name] = False
        return options


def _is_on(name: str, value: Any) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    raise BadRequest.of(name, f"{str(value)[:40]!r} is neither true nor false")
