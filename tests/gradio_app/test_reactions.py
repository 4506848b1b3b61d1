"""Settings that follow from other settings."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from calotype.catalog import Catalog
from calotype.checkpoint import EMBEDDED, inspect
from calotype.plugins.registry import Registry
from calotype_gradio.form import Part
from calotype_gradio.layout import Layout, lay_out
from calotype_gradio.reactions import Reactions


@pytest.fixture
def layout(registry: Registry, tiny_sd1: Path) -> Layout:
    with gr.Blocks(analytics_enabled=False):
        return lay_out(Catalog(registry, [inspect(EMBEDDED), inspect(tiny_sd1)]))


def values(layout: Layout, **changed: Any) -> dict[Any, Any]:
    set_to = {component: component.value for component in layout.form.inputs()}
    return set_to | {getattr(layout.form, name): value for name, value in changed.items()}


def part(layout: Layout, name: str) -> Part:
    return next(part for part in layout.form.parts() if part.name == name)


def shown(update: dict[Any, Any], layout: Layout) -> set[str]:
    return {part.name for part in layout.form.parts() if part.group in update and update[part.group].visible}


def test_only_the_chosen_plugins_controls_are_shown(layout: Layout) -> None:
    chosen = values(layout, sampler="euler_ancestral", schedule="karras")
    update = asyncio.run(Reactions(layout).chosen(chosen))
    assert shown(update, layout) == {"euler_ancestral", "karras", "upscale"}


def test_the_small_size_switches_upscaling_off_and_back(layout: Layout) -> None:
    reactions, switch = Reactions(layout), part(layout, "upscale").switch
    update = asyncio.run(reactions.sized(values(layout, size="64x64")))
    assert update[switch] is False
    assert "upscale" not in shown(update, layout)
    assert asyncio.run(reactions.sized(values(layout, size="256x256")))[switch] is True
    back = asyncio.run(reactions.switched(values(layout, size="64x64") | {switch: True}))
    assert back[layout.form.size] == "256x256"


def test_another_size_than_the_chosen_one_is_said(layout: Layout) -> None:
    factor = part(layout, "upscale").controls[0].component
    reactions = Reactions(layout)
    assert "128 × 128" in asyncio.run(reactions.chosen(values(layout) | {factor: 2}))[layout.size_note]
    assert asyncio.run(reactions.chosen(values(layout)))[layout.size_note] == ""


def test_another_model_brings_its_own_settings(layout: Layout) -> None:
    catalog = layout.form.catalog
    other = list(catalog.models.values())[1]
    update = asyncio.run(Reactions(layout).model_changed(values(layout, model=other.name)))
    assert update[layout.form.schedule] == other.defaults.schedule == "karras"
    assert update[layout.form.steps] == other.defaults.steps
    assert update[part(layout, "upscale").switch] is False
    assert update[layout.form.size].value in catalog.size_choices(other)
    assert "karras" in shown(update, layout)
    assert update[layout.hint] == ""
    assert not any(update[chip].visible for chip in layout.chips)


def test_a_model_added_later_is_offered_when_the_page_opens(layout: Layout) -> None:
    offered = asyncio.run(Reactions(layout).opened())[layout.form.model]
    assert [name for _, name in offered.choices] == list(layout.form.catalog.models)
    assert offered.visible
