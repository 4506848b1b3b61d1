"""The form behind *Vary*: another picture from the one above it.

What is sent is read from the interaction itself and not by the form object, so a form that was open while the bot
restarted works too. A job that has no picture (it failed, or was called off) offers its words and its seed only; so did
every form before pictures could be started from.
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
GONE: Final = (
    "The file of that picture is no longer kept here, so I cannot start from it. "
    "Re-roll makes a new one from the same words."
)
_OPEN_FOR: Final = 15 * 60.0
_SEED_DIGITS: Final = 16
_SHORT: Final = 12


class VaryForm(ui.Modal):
    """Prompt, negative prompt and seed of a job, to be changed, and how much of its picture is to change."""

    def __init__(self, job: Job, strength: float) -> None:
        """``strength`` is what the form proposes."""
        super().__init__(title="Vary", custom_id=f"{PREFIX}{job.id}", timeout=_OPEN_FOR)
        request = job.request
        self._ask("Prompt", _words("prompt", request.prompt, required=True))
        self._ask("Rather not", _words("negative", request.negative_prompt), "What you would rather not see")
        if not job.pictures:
            self._ask("Seed", _line("seed", str(request.seed), _SEED_DIGITS), "Leave it empty for a new one")
            return
        if len(job.pictures) > 1:
            label = f"Which picture (1-{len(job.pictures)})"
            self._ask(label, _line("picture", "1", _SHORT), "They count from the top left")
        self._ask("How much to change (0.05-1)", _line("strength", f"{strength:g}", _SHORT), "1 keeps next to nothing")
        self._ask("Seed", _line("seed", "", _SEED_DIGITS), "Empty is a new one, so that it differs each time")

    def _ask(self, label: str, field: ui.TextInput[Any], about: str | None = None) -> None:
        self.add_item(ui.Label(text=label, description=about, component=field))

    async def on_submit(self, interaction: discord.Interaction[Any], /) -> None:
        """Nothing: see the top of this module."""


def _words(name: str, default: str, *, required: bool = False) -> ui.TextInput[Any]:
    return ui.TextInput(
        custom_id=name,
        style=discord.TextStyle.paragraph,
        default=default,
        required=required,
        min_length=1 if required else None,
        max_length=PROMPT_LIMIT,
    )


def _line(name: str, default: str, limit: int) -> ui.TextInput[Any]:
    return ui.TextInput(custom_id=name, default=default, required=False, max_length=limit)


def job_of(interaction: discord.Interaction[Any]) -> str | None:
    """The job whose form this sends, None if it is something else."""
    data: Mapping[str, Any] = interaction.data or {}
    custom_id = str(data.get("custom_id", ""))
    sent = interaction.type is discord.InteractionType.modal_submit and custom_id.startswith(PREFIX)
    return custom_id.removeprefix(PREFIX) if sent else None


def varied(job: Job, interaction: discord.Interaction[Any]) -> Request:
    """The job's request with what was written into the form. Raises :class:`BadRequest`."""
    data: Mapping[str, Any] = interaction.data or {}
    values = dict(_values(data.get("components", [])))
    seed = values.get("seed", "").strip()
    if seed and not (seed.isascii() and seed.isdecimal()):
        raise BadRequest.of("seed", f"{seed!r} is not a whole number; leave it empty for a new one")
    changed: dict[str, Any] = {
        "prompt": values.get("prompt", job.request.prompt),
        "negative_prompt": values.get("negative", ""),
        "seed": int(seed) if seed else None,
    }
    if "strength" in values:  # else the form had no such field: only the words and the seed change
        changed |= {"init_image": _picture(job, values.get("picture", "")), "strength": _strength(values["strength"])}
        changed |= {"mask": None}  # it was painted on another picture
    return Request.parse({**job.request.model_dump(), **changed})


def _picture(job: Job, typed: str) -> str:
    """The sha256 of the picture that was chosen, the first one if none was."""
    chosen = typed.strip() or "1"
    if not (chosen.isascii() and chosen.isdecimal() and 1 <= int(chosen) <= len(job.pictures)):
        raise BadRequest.of("picture", f"{chosen!r} is not a whole number from 1 to {len(job.pictures)}")
    return job.pictures[int(chosen) - 1].sha256


def _strength(typed: str) -> float | None:
    """As written in any country; None, the model's own, for nothing. What is in its limits the request says."""
    text = typed.strip().replace(",", ".")
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise BadRequest.of("strength", f"{typed.strip()!r} is not a number from 0.05 to 1") from None


def _values(components: list[Any]) -> Iterator[tuple[str, str]]:
    for component in components:
        if "value" in component and "custom_id" in component:
            yield component["custom_id"], str(component["value"])
        yield from _values(component.get("components", []))
        if isinstance(component.get("component"), dict):
            yield from _values([component["component"]])
