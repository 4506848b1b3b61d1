"""``/imagine``: the one command."""

from __future__ import annotations

from typing import Any, Final

import discord
from discord import app_commands

from calotype.request import GUIDANCE_LIMIT, IMAGES_LIMIT, PROMPT_LIMIT, SEED_LIMIT, STEPS_LIMIT, Request
from calotype.studio import Studio
from calotype_bot import options as plugin_options
from calotype_bot.desk import Desk

_CHOICES: Final = 25
_CHOICE_LIMIT: Final = 100
DESCRIPTIONS: Final = {
    "prompt": "What you would like to see",
    "negative": "What you would rather not see",
    "steps": f"How many steps it develops for, 1 to {STEPS_LIMIT}",
    "sampler": "How it gets from noise to a picture",
    "schedule": "How the noise falls",
    "guidance": f"How closely it follows the prompt, 1 to {GUIDANCE_LIMIT:g}",
    "seed": "The same seed and settings give the same picture",
    "images": f"How many pictures, 1 to {IMAGES_LIMIT}",
    "model": "Which model paints",
    "options": "Plugins, e.g. film_grain.strength=0.3 upscale=off",
    "private": "Only you see the answer",
}


def fields(given: dict[str, Any]) -> dict[str, Any]:
    """What was filled in, by the names that a request has."""
    named = {key: value for key, value in given.items() if value is not None}
    if "negative" in named:
        named["negative_prompt"] = named.pop("negative")
    return named


def request_of(given: dict[str, Any]) -> Request:
    """The request that a command's options make. Raises :class:`calotype.errors.BadRequest`."""
    named = fields(given)
    line = named.pop("options", "")
    return Request.parse({**named, "options": plugin_options.read(line)})


def add_to(tree: app_commands.CommandTree[Any], desk: Desk, studio: Studio) -> None:
    """Offer ``/imagine``, in servers and in direct messages."""

    @tree.command(name="imagine", description="Make a picture from words")
    @app_commands.describe(**DESCRIPTIONS)
    @app_commands.allowed_installs(guilds=True, users=True)
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    async def imagine(
        interaction: discord.Interaction[Any],
        prompt: app_commands.Range[str, 1, PROMPT_LIMIT],
        negative: app_commands.Range[str, 1, PROMPT_LIMIT] | None = None,
        steps: app_commands.Range[int, 1, STEPS_LIMIT] | None = None,
        sampler: app_commands.Range[str, 1, _CHOICE_LIMIT] | None = None,
        schedule: app_commands.Range[str, 1, _CHOICE_LIMIT] | None = None,
        guidance: app_commands.Range[float, 1.0, GUIDANCE_LIMIT] | None = None,
        seed: app_commands.Range[int, 0, SEED_LIMIT] | None = None,
        images: app_commands.Range[int, 1, IMAGES_LIMIT] | None = None,
        model: app_commands.Range[str, 1, _CHOICE_LIMIT] | None = None,
        options: app_commands.Range[str, 1, plugin_options.LIMIT] | None = None,
        private: bool = False,
    ) -> None:
        given = {
            "prompt": prompt,
            "negative": negative,
            "steps": steps,
            "sampler": sampler,
            "schedule": schedule,
            "guidance": guidance,
            "seed": seed,
            "images": images,
            "model": model,
            "options": options,
        }

        async def make() -> Request:
            return request_of(given)

        await desk.take(interaction, make, private=private)

    _add_autocomplete(imagine, studio)


def _add_autocomplete(command: app_commands.Command[Any, ..., None], studio: Studio) -> None:
    registry = studio.catalog.registry

    @command.autocomplete("sampler")
    async def _sampler(_: discord.Interaction[Any], typed: str) -> list[app_commands.Choice[str]]:
        return choices({name: each.label for name, each in registry.samplers.items()}, typed)

    @command.autocomplete("schedule")
    async def _schedule(_: discord.Interaction[Any], typed: str) -> list[app_commands.Choice[str]]:
        return choices({name: each.label for name, each in registry.schedules.items()}, typed)

    @command.autocomplete("model")
    async def _model(_: discord.Interaction[Any], typed: str) -> list[app_commands.Choice[str]]:
        return choices({name: each.title for name, each in studio.catalog.models.items()}, typed)

    @command.autocomplete("options")
    async def _options(_: discord.Interaction[Any], typed: str) -> list[app_commands.Choice[str]]:
        return [app_commands.Choice(name=shown, value=line) for shown, line in plugin_options.propose(typed, studio)]


def choices(known: dict[str, str], typed: str) -> list[app_commands.Choice[str]]:
    """Those whose name or label holds what was typed, the ones that begin with it first. Discord takes 25."""
    wanted = typed.casefold().strip()
    found = [
        (not name.casefold().startswith(wanted), name, label or name)
        for name, label in known.items()
        if len(name) <= _CHOICE_LIMIT and (wanted in name.casefold() or wanted in label.casefold())
    ]
    return [
        app_commands.Choice(name=label[:_CHOICE_LIMIT], value=name)
        for _, name, label in sorted(found, key=lambda each: each[0])[:_CHOICES]
    ]
