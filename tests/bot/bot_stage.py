"""A server with a channel, people, a bot, and the whole service behind it.

simcord waits after every act until the bot has nothing left to do. What the bot waits for from our engine happens
in real time, so a test says which of the two it wants: ``stage(...)`` lets every act wait for the picture,
``stage(..., patient=False)`` declares the engine an outside world, so that a test can act while a job runs.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import discord
import simcord

from calotype.bootstrap import catalog_for, open_service
from calotype.config import Settings
from calotype.events import Event
from calotype.home import Home
from calotype.job import Job
from calotype.person import OPERATOR, Person
from calotype.studio import Studio
from calotype_bot import make_bot
from calotype_bot.bot import CalotypeBot
from calotype_bot.looks import Look

_STAGES = itertools.count(1)
"""simcord counts ids from the same instant each time, and a shared ledger must not meet the same interaction twice."""
QUICK = {"steps": 3, "options": "upscale=off"}


@asynccontextmanager
async def service(folder: Path, **settings: Any) -> AsyncIterator[Studio]:
    roomy = {"member": {"queued": 100}}  # one person asks for fifty at once
    chosen = Settings.load(**{"home": folder, "threads": 1, "drain_seconds": 0, "roles": roomy, **settings})
    home = Home(folder)
    assert home.acquire()
    try:
        async with open_service(chosen, home, catalog_for(chosen)) as studio:
            for _ in range(1200):
                if studio.ready:
                    break
                await asyncio.sleep(0.05)
            yield studio
    finally:
        home.release()


class Outside:
    """A studio whose events come from outside, as far as simcord is concerned."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self.env: simcord.Env | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._studio, name)

    async def watch(self, job_id: str, person: Person | None = None) -> AsyncGenerator[Event, None]:
        async with aclosing(self._studio.watch(job_id, person)) as events:
            while True:
                assert self.env is not None
                try:
                    event = await self.env.external_wait(anext(events), reason="the engine")
                except StopAsyncIteration:
                    return
                yield event


@dataclass
class Stage:
    env: simcord.Env
    bot: CalotypeBot
    studio: Studio
    guild: simcord.GuildHandle
    channel: simcord.ChannelHandle
    anna: simcord.MemberActor
    bert: simcord.MemberActor
    mod: simcord.MemberActor
    passer_by: simcord.MemberActor

    async def imagine(self, who: simcord.MemberActor | None = None, **options: Any) -> simcord.InteractionResult:
        given = {**QUICK, "prompt": "blue cat", "seed": 1, **options}
        return await (who or self.anna).slash(
            self.channel, "imagine", **{key: value for key, value in given.items() if value is not None}
        )

    def public(self) -> list[discord.Message]:
        """What everybody sees in the channel."""
        return self.channel.history(viewer=self.passer_by)

    async def jobs(self) -> list[Job]:
        return await self.studio.history(OPERATOR)

    async def until(self, true: Callable[[], Awaitable[bool]] | Callable[[], bool], seconds: float = 30) -> None:
        """Until something has happened in real time; the bot's own timers go on meanwhile."""
        for _ in range(int(seconds / 0.05)):
            found = true()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.05)
        raise AssertionError("it never happened")

    async def restart(self) -> None:
        studio = self.bot.studio
        self.bot = make_bot(studio, shard_count=1)
        await self.env.restart_bot(self.bot)


@asynccontextmanager
async def on_discord(studio: Studio, *, patient: bool = True, home: Path | None = None) -> AsyncIterator[Stage]:
    outside = Outside(studio)
    bot = make_bot(studio if patient else outside, shard_count=1, home=home)  # type: ignore[arg-type]
    running = simcord.run(bot, settle_timeout=60)
    running._env.backend.clock.advance(1000 * next(_STAGES))
    async with running as env:
        outside.env = env
        guild = env.create_guild("Friends of old photographs")
        manages = guild.create_role("Moderators", permissions=discord.Permissions(manage_messages=True))
        anna, bert = (guild.add_member(env.create_user(name)) for name in ("anna", "bert"))
        cleo = guild.add_member(env.create_user("cleo"))
        mod = guild.add_member(env.create_user("mod"), roles=[manages])
        channel = guild.create_text_channel("pictures")
        found = Stage(env, bot, studio, guild, channel, anna, bert, mod, cleo)
        try:
            yield found
        finally:
            await found.bot.deliverer.close()


class House:
    """One service for many tests: one event loop that goes on only while a test runs something on it."""

    def __init__(self, folder: Path) -> None:
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self.folder = folder
        self.studio = self._runner.run(self._stack.enter_async_context(service(folder)))

    def run(self, scenario: Callable[[Stage], Awaitable[None]], *, patient: bool = True, seconds: float = 120) -> None:
        async def on_stage() -> None:
            async with on_discord(self.studio, patient=patient) as at:
                await scenario(at)

        self._runner.run(asyncio.wait_for(on_stage(), seconds))

    def close(self) -> None:
        self._runner.run(self._stack.aclose())
        self._runner.close()


@asynccontextmanager
async def stage(folder: Path, *, patient: bool = True, **settings: Any) -> AsyncIterator[Stage]:
    async with service(folder, **settings) as studio, on_discord(studio, patient=patient) as found:
        yield found


def run(scenario: Callable[[], Awaitable[None]], seconds: float = 180) -> None:
    asyncio.run(asyncio.wait_for(scenario(), seconds))  # type: ignore[arg-type]


class Shown:
    """A look, as if it were a message already."""

    content = ""

    def __init__(self, look: Look) -> None:
        self.components = look.view.to_components()


def words(message: Any) -> str:
    """Everything a message says."""
    found = [message.content]

    def walk(parts: list[Any]) -> None:
        for part in parts:
            found.append(part.get("content", "") if part.get("type") == 10 else "")
            walk(part.get("components", []))

    walk(raw(message))
    return "\n".join(each for each in found if each)


def raw(message: Any) -> list[Any]:
    components = message.components
    return [each if isinstance(each, dict) else each.to_dict() for each in components]


def labels(message: Any) -> list[str]:
    found: list[str] = []

    def walk(parts: list[Any]) -> None:
        for part in parts:
            if part.get("type") == 2:
                found.append(part["label"])
            walk(part.get("components", []))

    walk(raw(message))
    return found
