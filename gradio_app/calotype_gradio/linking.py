"""The small part at the foot of the page that joins its visitor with another account of theirs, on Discord say."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Final

import gradio as gr

from calotype.errors import BadRequest, CalotypeError, for_visitors
from calotype.studio import Studio
from calotype_gradio import views
from calotype_gradio.handlers import person_of

ABOUT: Final = (
    "Make a code and show it to the bot with /link, or type the code that /link gave you. Both are one person then, "
    "with one queue and one history. Show a code to nobody else: whoever shows it joins you, and it cannot be undone."
)
_CODE_LIMIT: Final = 40
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Linking:
    """Its components."""

    code: Any
    join: Any
    make: Any
    said: Any


def lay_out() -> Linking:
    """Make the components, closed, within the ``gr.Blocks`` that is being built."""
    with gr.Accordion("Also on Discord?", open=False, elem_id="link"):
        gr.HTML(f"<p>{ABOUT}</p>", js_on_load=None, padding=False, apply_default_css=False)
        with gr.Row():
            code = gr.Textbox(
                label="Code", placeholder="ABCD-EFGH", max_length=_CODE_LIMIT, lines=1, scale=3, min_width=160,
                elem_id="link-code", interactive=True,
            )  # fmt: skip
            join = gr.Button("Join", scale=1, min_width=96, elem_id="link-join")
            make = gr.Button("Make a code", scale=1, min_width=120, elem_id="link-make")
        said = gr.HTML("", elem_id="link-said", js_on_load=None, padding=False, apply_default_css=False)
    return Linking(code, join, make, said)


def wire(part: Linking, studio: Studio) -> None:
    """Let its buttons do what they say."""

    async def make(request: gr.Request) -> str:
        try:
            made = await studio.people.link_code(person_of(request))
        except CalotypeError as error:
            return refusal(error)
        return views.status(f"Your code is {made.code}. Show it within 10 minutes: /link code:{made.code}", "done")

    async def join(code: Any, request: gr.Request) -> str:
        try:
            known = await studio.people.link(person_of(request), str(code or ""))
        except CalotypeError as error:
            return refusal(error)
        return views.status(f"Done. {len(known.accounts)} accounts are one person now.", "done")

    at_once: dict[str, Any] = {"queue": False, "show_progress": "hidden", "preprocess": False}
    part.make.click(make, outputs=part.said, api_name="link_code", **at_once)
    part.join.click(join, inputs=part.code, outputs=part.said, api_name="link", **at_once)


def refusal(error: CalotypeError) -> str:
    """Why not, as the page shows it."""
    if isinstance(error, BadRequest):
        return views.problems((problem.field, problem.message) for problem in error.problems)
    if not for_visitors(error):
        log.error("page: not linked: %s", error)
        return views.status("Something went wrong; the operator finds the reason in the log.", "problem")
    log.info("page: not linked: %s", type(error).__name__)
    return views.status(str(error), "problem")
