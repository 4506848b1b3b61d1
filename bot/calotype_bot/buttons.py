"""The buttons under a message. All they know is in their custom_id, so they outlive the process that sent them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import discord
from discord import ui

from calotype.job import Job

if TYPE_CHECKING:
    from calotype_bot.bot import CalotypeBot


class Press(StrEnum):
    """What a button does."""

    REROLL = "reroll"
    VARY = "vary"
    CANCEL = "cancel"
    DELETE = "delete"


_LABELS: Final = {Press.REROLL: "Re-roll", Press.VARY: "Vary", Press.CANCEL: "Cancel", Press.DELETE: "Delete"}
_STYLES: Final = {Press.REROLL: discord.ButtonStyle.primary, Press.DELETE: discord.ButtonStyle.danger}


class JobButton(
    ui.DynamicItem[ui.Button[Any]],
    template=r"calotype:(?P<press>reroll|vary|cancel|delete):(?P<job>[0-9a-f]{1,40}):(?P<owner>[0-9]{1,20})",
):
    """A button of one job. Its owner stands in it so that a stranger can be told at once, without a look-up."""

    def __init__(self, press: Press, job_id: str, owner: int) -> None:
        super().__init__(
            ui.Button(
                label=_LABELS[press],
                style=_STYLES.get(press, discord.ButtonStyle.secondary),
                custom_id=f"calotype:{press}:{job_id}:{owner}",
            )
        )
        self.press, self.job_id, self.owner = press, job_id, owner

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> JobButton:
        """From what Discord sends when it is pressed."""
        return cls(Press(match["press"]), match["job"], int(match["owner"]))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        """It was pressed."""
        bot: CalotypeBot = interaction.client
        await bot.pressed(interaction, self)


def row(presses: Sequence[Press], job: Job) -> ui.ActionRow[Any]:
    """A row of buttons for a job of a person of ours."""
    # who is answered; for others it is whoever asked
    owner = (job.reply_to or {}).get("user_id") or int(job.submitter.removeprefix("discord:"))
    return ui.ActionRow(*(JobButton(press, job.id, owner) for press in presses))
