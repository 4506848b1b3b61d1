"""The bot as a front end: present or absent, its token, its commands."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import aiohttp
import discord
import pytest
import simcord
from bot_stage import House, Stage
from pydantic import SecretStr

from calotype.config import Settings
from calotype.errors import SetupError
from calotype.frontend import Hosting
from calotype.home import Home
from calotype_bot import make_bot, syncing
from calotype_bot.bot import CalotypeBot
from calotype_bot.front_end import Discord

TOKEN = "MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs"


def settings(token: str | None, folder: Path) -> Settings:
    return Settings(home=folder, discord_token=SecretStr(token) if token is not None else None)


def test_without_a_token_it_is_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISCORD_TOKEN", raising=False)
    for token in (None, "", "  "):
        line = Discord().absent(settings(token, tmp_path))
        assert line is not None
        assert "DISCORD_TOKEN is not set" in line
        assert "The Discord bot" in line
        assert "\n" not in line
    assert Discord().absent(settings(TOKEN, tmp_path)) is None


def test_it_is_found_and_cheap() -> None:
    assert any(entry.value == "calotype_bot.front_end:Discord" for entry in entry_points(group="calotype.frontends"))
    script = "import sys, calotype_bot.front_end; sys.exit('discord' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_refused_token_is_one_line_without_the_token(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(self: CalotypeBot, token: str) -> None:
        assert token == TOKEN
        raise discord.LoginFailure("Improper token has been passed.")

    monkeypatch.setattr(CalotypeBot, "login", refuse)
    hosting = Hosting(house.studio, settings(f" {TOKEN}\n", tmp_path), Home(tmp_path))
    with caplog.at_level(logging.DEBUG), pytest.raises(SetupError, match="DISCORD_TOKEN") as caught:
        asyncio.run(Discord().run(hosting))
    assert TOKEN not in str(caught.value) + caplog.text + repr(hosting)
    assert "\n" not in str(caught.value)


def test_it_waits_for_a_network(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = 0

    async def unreachable(self: CalotypeBot, token: str) -> None:
        nonlocal tries
        tries += 1
        if tries == 3:
            raise discord.LoginFailure
        raise aiohttp.ClientConnectionError("no route")

    monkeypatch.setattr(CalotypeBot, "login", unreachable)
    monkeypatch.setattr("calotype_bot.front_end._FIRST_WAIT", 0.01)
    hosting = Hosting(house.studio, settings(TOKEN, tmp_path), Home(tmp_path))
    with pytest.raises(SetupError):
        asyncio.run(Discord(connector=aiohttp.TCPConnector).run(hosting))
    assert tries == 3


def texts_of(command: dict[str, Any]) -> list[str]:
    """Whatever counts towards Discord's limit of a command, or of one of its options, each within its own limits."""
    assert command["name"] == command["name"].lower()
    assert 1 <= len(command["name"]) <= 32
    assert 1 <= len(command["description"]) <= 100
    options = command.get("options", [])
    assert len(options) <= 25
    return [command["name"], command["description"], *(text for option in options for text in texts_of(option))]


def test_what_the_bot_asks_for(house: House) -> None:
    async def scenario() -> None:
        bot = make_bot(house.studio)
        assert bot.intents.value == discord.Intents(guilds=True).value
        assert bot.allowed_mentions is not None
        assert bot.allowed_mentions.to_dict() == {"parse": []}
        names = []
        for each in bot.tree.get_commands():
            command = each.to_dict(bot.tree)
            names.append(command["name"])
            assert sum(map(len, texts_of(command))) <= 8000
        assert names == ["imagine", "link", "schedule"]

    asyncio.run(scenario())


def test_commands_are_sent_only_when_they_changed(house: House, tmp_path: Path) -> None:
    async def synced() -> list[Any]:
        bot = make_bot(house.studio, shard_count=1, home=tmp_path)
        async with simcord.run(bot, strict_sync=False) as env:
            puts = [each for each in env.http_requests if each.method == "PUT"]
            await bot.deliverer.close()
        return puts

    assert len(asyncio.run(synced())) == 1
    assert asyncio.run(synced()) == []
    known = json.loads((tmp_path / syncing.FILE).read_text())
    (tmp_path / syncing.FILE).write_text(json.dumps(dict.fromkeys(known, "another hash")))
    assert len(asyncio.run(synced())) == 1
    (tmp_path / syncing.FILE).write_text("damaged")
    assert len(asyncio.run(synced())) == 1
    assert asyncio.run(synced()) == []


def test_a_refused_sync_does_not_stop_the_bot(house: House, tmp_path: Path) -> None:
    class Tree:
        def get_commands(self) -> list[Any]:
            return []

        async def sync(self) -> None:
            raise TimeoutError

    assert asyncio.run(syncing.sync(Tree(), 1, tmp_path)) is False  # type: ignore[arg-type]
    assert not (tmp_path / syncing.FILE).exists()


@pytest.mark.parametrize(
    ("denied", "private", "refused"),
    [("attach_files", False, True), ("send_messages", False, True), ("send_messages", True, False), ("", False, False)],
)
def test_where_the_bot_may_not_post(house: House, denied: str, private: bool, refused: bool) -> None:
    async def scenario(at: Stage) -> None:
        before = len(await at.jobs())
        if denied:
            everyone = at.bot.get_guild(at.guild.id).default_role  # type: ignore[union-attr]
            overwrite = discord.PermissionOverwrite(**{denied: False})
            at.channel = at.guild.create_text_channel("quiet", overwrites={everyone: overwrite})
            bots = [each for each in at.env.backend.get_guild(at.guild.id).roles.values() if each.name != "@everyone"]
            for role in bots:
                role.permissions &= ~discord.Permissions(administrator=True).value
        result = await at.imagine(private=private)
        assert result.response is not None
        if refused:
            assert result.response.ephemeral
            assert "may not" in result.response.content
            assert not at.public()
        assert len(await at.jobs()) == before + (not refused)

    house.run(scenario)


def test_no_token_of_an_interaction_in_the_log(house: House, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(at: Stage) -> None:
        at.env.inject_error("PATCH", "/webhooks/*", status=404, code=10008, times=1)
        result = await at.imagine()
        await at.imagine(sampler="nosuch")
        assert result._interaction.token not in caplog.text
        assert (await at.jobs())[0].id in caplog.text

    with caplog.at_level(logging.DEBUG, "calotype_bot"):
        house.run(scenario)
