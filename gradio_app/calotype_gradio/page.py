"""The page: what is laid out, wired to what happens."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import gradio as gr

from calotype.studio import Studio
from calotype_gradio import linking
from calotype_gradio.handlers import Handlers
from calotype_gradio.layout import Layout, lay_out
from calotype_gradio.reactions import Reactions

_WATCHERS: Final = 2000
"""Tabs that may watch their picture at once. Gradio's own default, 40, would hold the 41st visitor back unseen."""
_LOOK_FOR_CALLS: Final = 0.02
"""Gradio looks for calls in a loop, by default every millisecond: 7 % of a core for nothing."""


def build(studio: Studio) -> Any:
    """The page for this studio, ready to be mounted."""
    with gr.Blocks(title="Calotype", analytics_enabled=False, fill_width=False) as blocks:
        layout = lay_out(studio.catalog)
        link = linking.lay_out()
        _wire_runs(layout, Handlers(studio, layout), blocks)
        _wire_settings(layout, Reactions(layout), blocks)
        linking.wire(link, studio)
    blocks.max_threads = _WATCHERS
    blocks.state_session_capacity = _WATCHERS  # what Gradio remembers of tabs, some 100 kB each
    # The ledger is the queue: Gradio's must let everybody through.
    blocks.queue(api_open=False, max_size=_WATCHERS, default_concurrency_limit=None)
    blocks._queue.sleep_when_free = blocks._queue.progress_update_sleep_when_free = _LOOK_FOR_CALLS
    return blocks


def _wire_runs(layout: Layout, handlers: Handlers, blocks: Any) -> None:
    shown = [layout.status, layout.run, layout.cancel, layout.vary, *layout.chips]
    # One event for every way to start, so that a second press while one runs does nothing. Values are not
    # preprocessed: the components would raise at wrong ones, with a traceback, before the request can be checked.
    gr.on(
        [layout.run.click, layout.form.prompt.submit, layout.vary.click, *(chip.click for chip in layout.chips)],
        handlers.run,
        inputs=layout.form.inputs(),
        outputs=[
            *shown,
            layout.stage,
            layout.vary_box,
            layout.form.init_image,
            layout.used,
            layout.earlier,
            layout.form.seed,
            layout.form.prompt,
        ],
        api_name="run",
        preprocess=False,
        show_progress="hidden",
        concurrency_limit=None,
        trigger_mode="once",
    )
    at_once = {"queue": False, "show_progress": "hidden"}
    layout.cancel.click(handlers.cancel, outputs=shown, api_name="cancel", **at_once)
    for event in (blocks.load, layout.timer.tick):
        event(handlers.look, outputs=[layout.notice, layout.timer], api_visibility="private", **at_once)


def _wire_settings(layout: Layout, reactions: Reactions, blocks: Any) -> None:
    form = layout.form
    outputs = reactions.outputs()
    react: Callable[..., Any] = partial(
        _react, inputs=form.inputs(), outputs=outputs, api_visibility="private", queue=False, show_progress="hidden",
        preprocess=False,
    )  # fmt: skip
    blocks.load(reactions.opened, outputs=outputs, api_visibility="private", queue=False, show_progress="hidden")
    react(form.randomize.input, reactions.randomized)
    react(form.model.input, reactions.model_changed)
    react(form.size.input, reactions.sized)
    for switch in (part.switch for part in form.postprocessors):
        react(switch.input, reactions.switched)
    for component in (form.sampler, form.schedule):
        react(component.input, reactions.chosen)
    for control in (control for part in form.postprocessors for control in part.controls):
        react(control.component.input, reactions.chosen)


def _react(event: Any, handler: Any, **settings: Any) -> None:
    event(handler, trigger_mode="always_last", **settings)
