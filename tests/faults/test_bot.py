"""kill -9 of the process with the Discord bot, against a small Discord on real sockets: every answer comes, once."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.conftest import Open, Record
from faults.harness import service as services
from faults.harness.launching import Launcher, Running
from faults.harness.progress import Bar
from faults.harness.service import HERE, Service

sys.path.append(str(HERE.parent / "discord"))  # at the end: the folder has the library's own name

from little_discord.person import answered, buttons
from little_discord.rest import TOKEN
from little_discord.server import Server
from little_discord.world import Interaction, Message

from serving import PATIENCE, until

KILLS = max(2, int(os.environ.get("KILLS", "100")) // 4)
SCRIPT = HERE.parent / "discord/run_bot.py"
OPEN = "SELECT 1 AS x FROM outbox WHERE NOT given_up"


class Bot:
    """The shipped bot with the service in it, on a home and database of a :class:`Service` that is not started."""

    def __init__(self, service: Service, discord: Server, launcher: Launcher) -> None:
        self.service, self.discord, self._launcher = service, discord, launcher
        service.home.parent.mkdir(exist_ok=True)
        # run_bot.py opens a file of the home unless it is told a database
        self._env = {**service.env, "DISCORD_TOKEN": TOKEN, "CALOTYPE_DRAIN_SECONDS": "5", "CALOTYPE_ATTEMPTS": "1000"}
        # one person asks for everything, and on a busy machine hardly a job ends between two kills
        self._env["CALOTYPE_ROLES"] = '{"member": {"queued": 1000}}'

    def start(self) -> None:
        """Until it is on the gateway."""
        words = [str(self.discord.port), str(self.discord.authority)]
        cwd, log = self.service.home.parent, self.service.log
        sessions = len(self.discord.gateway.sessions)
        running = Running(self._launcher.start(words, self._env, cwd, log, script=SCRIPT))
        self.service.processes["bot"] = running

        def there() -> bool:
            assert running.code is None, self.service.tail()
            return len(self.discord.gateway.sessions) > sessions and self.discord.gateway.sessions[-1].ready

        until(there, "the bot on the gateway")

    def kill(self) -> None:
        """kill -9."""
        self.service.processes["bot"].kill()


@pytest.fixture
def discord(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def bot(open_service: Open, discord: Server, launcher: Launcher) -> Iterator[Bot]:
    made = Bot(open_service(), discord, launcher)
    made.start()
    yield made
    made.kill()


def _is_answered(message: Message) -> bool:
    return "Re-roll" in buttons(message)


def _posts(discord: Server) -> list[Message]:
    return [each for each in discord.world.messages.values() if not each.deleted]


def test_random_kills_of_the_bot(bot: Bot, discord: Server, database: str, record: Record) -> None:
    chance = random.Random(f"{services.seed()}/{database}/bot")
    ada, asked, bar, resumed = discord.person(), [], Bar(f"{database}: kills of the bot", KILLS), []
    before = {each.id for each in _posts(discord)}
    with discord.expecting(40060, 10062):  # a new process cannot know what the old one answered; the ledger does
        for kill in range(KILLS):
            bar.show(kill, f"{len(asked)} commands")
            one = ada.command(
                "imagine", prompt=f"boat {kill}", steps=chance.choice((1, 4, 30)), images=chance.choice((1, 2))
            )
            message = answered(one)
            until(lambda number=kill: len(bot.service.jobs()) == number + 1, "it to be written down")
            asked.append((one, message))
            time.sleep(chance.uniform(0.0, 4.0))
            bot.kill()
            begun = time.monotonic()
            bot.start()
            resumed.append(time.monotonic() - begun)
            if chance.random() < 0.5:
                ada.again(chance.choice(asked)[0])  # Discord may say it again
        bar.show(KILLS, f"{len(asked)} commands")
        _all_answered(bot, asked)
    new = [each for each in _posts(discord) if each.id not in before]
    lost = sum(len(message.attachments) == 0 for _, message in asked) + len(discord.violations)
    doubled = len(new) - len(asked) + len(bot.service.jobs()) - len(asked)
    print("\n".join(discord.violations))  # noqa: T201 - pytest shows it where the test fails
    fault = "random kill -9 of the bot"
    record(
        fault, runs=KILLS, jobs=len(asked), lost=lost, doubled=doubled, recovery=resumed, note="until on the gateway"
    )


def _all_answered(bot: Bot, asked: list[tuple[Interaction, Message]]) -> None:
    for _, message in asked:
        until(lambda one=message: _is_answered(one), f"the answer in {message.id}; {bot.service.tail(1500)}")
    until(lambda: not bot.service.rows(OPEN), "an empty outbox")


def test_killed_with_a_full_outbox(bot: Bot, discord: Server, record: Record) -> None:
    """Discord is away when the picture is made, the bot is killed, and both come back."""
    message = answered(discord.person().command("imagine", prompt="a lonely lamp", steps=30))
    until(lambda: message.edits >= 1, "progress")
    discord.unplug()
    try:
        until(lambda: bot.service.rows(OPEN), "the picture, in the outbox")
        bot.kill()
    finally:
        discord.plug_in()
    begun = time.monotonic()
    bot.start()
    until(lambda: _is_answered(message), "the answer")
    seconds = time.monotonic() - begun
    until(lambda: not bot.service.rows(OPEN), "an empty outbox")
    lost, doubled = int(len(message.attachments) != 1), len(_posts(discord)) - 1
    record("kill -9 of the bot, full outbox", jobs=1, lost=lost, doubled=doubled, recovery=[seconds])


def test_killed_between_the_post_and_its_record(bot: Bot, discord: Server, record: Record) -> None:
    """After fifteen minutes it is a message of its own: sent again within the nonce's window it is the same one."""
    first = answered(discord.person().command("imagine", prompt="a late train", steps=60))
    until(lambda: first.edits >= 1, "progress")
    held = discord.faults.hold("POST", r"^/channels/\d+/messages$")
    with discord.expecting(50027):  # by the bot's own clock the token is good
        discord.world.shift = 901
        assert held.arrived.wait(PATIENCE), bot.service.tail()
        bot.kill()
        held.released.set()
        begun = time.monotonic()
        bot.start()
        until(lambda: not bot.service.rows(OPEN), "the delivery to be written down")
    seconds = time.monotonic() - begun
    late = [each for each in _posts(discord) if each is not first]
    lost, doubled = int(not late or len(late[0].attachments) != 1), max(0, len(late) - 1)
    record("kill -9 of the bot, after its post", jobs=1, lost=lost, doubled=doubled, recovery=[seconds])
