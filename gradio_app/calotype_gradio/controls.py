"""Controls made from a plugin's parameter model: whoever writes a plugin writes no page code."""

from __future__ import annotations

import math
import types
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal, Union, get_args, get_origin

import annotated_types as limits
import gradio as gr
from pydantic import JsonValue
from pydantic.fields import FieldInfo

from calotype.sampling import Params

_POSITIONS: Final = 100
"""A slider of floats has about as many positions, on a round step."""


@dataclass(frozen=True)
class Control:
    """One parameter of a plugin and the component that sets it."""

    field: str
    component: Any


def controls(params: type[Params]) -> list[Control]:
    """Components for the parameters, in their order; made within the ``gr.Blocks`` that is being built.

    A parameter of a kind that no simple control can set (a list, say) is left out and keeps its default.
    """
    defaults = params().model_dump(mode="json")
    made = ((name, _component(name, field, defaults[name])) for name, field in params.model_fields.items())
    return [Control(name, component) for name, component in made if component is not None]


def given(controls: list[Control], values: Mapping[Any, Any]) -> dict[str, JsonValue]:
    """What the controls are set to, as a request's options take it. An emptied one is left to its default."""
    found = {control.field: values.get(control.component) for control in controls}
    return {field: value for field, value in found.items() if value is not None}


def _component(name: str, field: FieldInfo, default: Any) -> Any:
    kind = _kind(field.annotation)
    about = {"label": _label(name, field), "info": field.description, "value": default, "interactive": True}
    if kind is bool:
        return gr.Checkbox(**about)
    if get_origin(kind) is Literal:
        return gr.Dropdown(choices=[(str(value), value) for value in get_args(kind)], **about)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return gr.Dropdown(choices=[(_words(member.name), member.value) for member in kind], **about)
    if kind is int or kind is float:
        return _number(field, whole=kind is int, about=about)
    if kind is str:
        return gr.Textbox(**about)
    return None


def _number(field: FieldInfo, whole: bool, about: dict[str, Any]) -> Any:
    """A slider if both ends are known, else a number field."""
    low, high, step = _limits(field, whole)
    if low is None or high is None:
        return gr.Number(minimum=low, maximum=high, precision=0 if whole else None, **about)
    return gr.Slider(minimum=low, maximum=high, step=step, buttons=[], **about)


def _limits(field: FieldInfo, whole: bool) -> tuple[float | None, float | None, float]:
    """Lowest and highest value that is allowed, and a step that suits them."""
    low: Any = None
    high: Any = None
    open_low = open_high = False
    multiple: Any = None
    for entry in field.metadata:
        match entry:
            case limits.Ge(ge=low):
                open_low = False
            case limits.Gt(gt=low):
                open_low = True
            case limits.Le(le=high):
                open_high = False
            case limits.Lt(lt=high):
                open_high = True
            case limits.MultipleOf(multiple_of=multiple):
                pass
            case _:
                pass
    step = multiple if multiple is not None else 1 if whole or low is None or high is None else _round_step(high - low)
    return (low + step if open_low else low), (high - step if open_high else high), step


def _round_step(span: float) -> float:
    """A power of ten that gives about a hundred positions."""
    return float(10 ** math.floor(math.log10(span / _POSITIONS) + 0.5)) if span > 0 else 1.0


def _kind(annotation: Any) -> Any:
    """The type without ``| None``: an emptied control stands for None."""
    if get_origin(annotation) in (Union, types.UnionType):
        rest = [part for part in get_args(annotation) if part is not type(None)]
        return rest[0] if len(rest) == 1 else annotation
    return annotation


def _label(name: str, field: FieldInfo) -> str:
    return field.title or _words(name)


def _words(name: str) -> str:
    return name.replace("_", " ").strip().lower().capitalize()
