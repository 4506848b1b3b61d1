"""The form behind *Vary*: the same seed with changed words.

What is sent is read from the interaction itself and not by the form object, so a form that was open while the bot
restarted works too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import discord
from discord import ui

from calotype.errors import BadRequest
from calotype.job import Job
from calotype.request import PROMPT_LIMIT, Request

PREFIX: Final = "calotype:varied:"
_OPEN_FOR: Final = 15 * 60.0
_SEED_DIGITS: Final = 16


class VaryForm(ui.Modal):
    """Prompt, negative prompt and seed of a job, to be changed."""

    def __init__(self, job: Job) -> None:
        super().__init__(title="Vary", custom_id=f"{PREFIX}{job.id}", timeout=_OPEN_FOR)
        request = job.request
        paragraph = discord.TextStyle.paragraph
        prompt = ui.TextInput[Any](
            custom_id="prompt", style=paragraph, default=request.prompt, min_length=1, max_length=PROMPT_LIMIT
        )
        negative = ui.TextInput[Any](
            custom_id="negative",
            style=paragraph,
            default=request.negative_prompt,
            required=False,
            max_length=PROMPT_LIMIT,
        )
        seed = ui.TextInput[Any](custom_id="seed", default=str(request.seed), required=False, max_length=_SEED_DIGITS)
        self.add_item(ui.Label(text="Prompt", component=prompt))
        self.add_item(ui.Label(text="Rather not", description="What you would rather not see", component=negative))
        self.add_item(ui.Label(text="Seed", description="Leave it empty for a new one", component=seed))

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        """Nothing: see the top of this module."""


def job_of(interaction: discord.Interaction[Any]) -> str | None:
    """The job whose form this sends, None if it is something else."""
    data: Mapping[str, Any] = interaction.data or {}
    custom_id = str(data.get("custom_id", ""))
    sent = interaction.type is discord.InteractionType.modal_submit and custom_id.startswith(PREFIX)
    return custom_id.removeprefix(PREFIX) if sent else None


def varied(request: Request, interaction: discord.Interaction[Any]) -> Request:
    """The request with what was written into the form. Raises :class:`BadRequest`."""
    data: Mapping[str, Any] = interaction.data or {}
    values = dict(_values(data.get("components", [])))
    typed = values.get("seed", "").strip()
    if typed and not (typed.isascii() and typed.isdecimal()):
        raise BadRequest.of("seed", f"{typed!r} is not a whole number; leave it empty for a new one")
    return Request.parse(
        {
            **request.model_dump(),
            "prompt": values.get("prompt", request.prompt),
            "negative_prompt": values.get("negative", ""),
            "seed": int(typed) if typed else None,
        }
    )


def _values(components: list[Any]) -> Iterator[tuple[str, str]]:
    for component in components:
        if "value" in component and "custom_id" in component:
            yield component["custom_id"], str(component["value"])
        yield from _values(component.get("components", []))
        if isinstance(component.get("component"), dict):
            yield from _values([component["component"]])
