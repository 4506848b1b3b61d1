"""One small Discord and one bot for the folder; every test answers for what was refused while it ran."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))  # the packages of this folder; at the end, for it is itself named discord

from little_discord.bot import Bot
from little_discord.client import Client
from little_discord.server import Server


@pytest.fixture(scope="session")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from _serving(tmp_path_factory.mktemp("discord"))


@pytest.fixture(scope="session")
def _botless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from _serving(tmp_path_factory.mktemp("botless"))


def _serving(folder: Path) -> Iterator[Server]:
    server = Server(folder)
    server.start()
    yield server
    server.stop()
    assert not server.violations, "after the last test: " + "\n".join(server.violations)


@pytest.fixture(scope="session")
def _bot(_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bot]:
    bot = Bot(_server, tmp_path_factory.mktemp("bot"))
    yield bot
    if bot.running:
        bot.kill()


@pytest.fixture
def discord(_server: Server) -> Iterator[Server]:
    """The small Discord, without faults at first; fails the test for every request that Discord would refuse."""
    yield from _answering(_server)


@pytest.fixture
def botless(_botless: Server) -> Iterator[Server]:
    """Another one, that no bot knows, for trying the server itself."""
    yield from _answering(_botless)


def _answering(server: Server) -> Iterator[Server]:
    yield server
    server.faults.clear()
    server.world.shift = 0.0
    found = list(server.violations)
    server.violations.clear()
    assert not found, "\n".join(found)


@pytest.fixture
def client(discord: Server) -> Iterator[Client]:
    """A client without a library between: sends what it is told to."""
    with Client(discord) as made:
        yield made


@pytest.fixture
def bot(discord: Server, _bot: Bot) -> Iterator[Bot]:
    """The bot, running, with whatever earlier tests left in its home."""
    if _bot.broken:
        pytest.fail(f"the bot could not be started for an earlier test: {_bot.broken}")
    if not _bot.running:
        _bot.start()
    yield _bot
    print(_bot.tail(), file=sys.stderr)  # noqa: T201 - pytest shows it where the test fails


__all__ = ["bot", "botless", "client", "discord"]
