"""The shipped bot on the small Discord: commands, forms and buttons, whole, over sockets."""

from __future__ import annotations

import io

from little_discord.bot import Bot, delivered
from little_discord.client import Client
from little_discord.person import answered, buttons
from little_discord.server import Server
from little_discord.waiting import until
from little_discord.world import Message
from PIL import Image


def test_imagine(discord: Server, bot: Bot, client: Client) -> None:
    asked = discord.person().command("imagine", prompt="blue cat", seed=7, steps=4)
    message = answered(asked)
    assert asked.acknowledged is not None and asked.acknowledged - asked.created < 1.5
    assert asked.callback == 5, "a slow answer begins with a deferral"
    delivered(bot, message)
    assert len(message.attachments) == 1
    with Image.open(io.BytesIO(client.fetch(message.attachments[0]["url"]))) as picture:
        assert (picture.format, picture.size) == ("PNG", (256, 256))
    assert [status for _, status in bot.jobs("blue cat")] == ["finished"]
    assert discord.gateway.session is not None and discord.gateway.session.intents == 1, "only the guilds intent"


def test_hostile_words_ping_nobody(discord: Server, bot: Bot) -> None:
    words = "@everyone <@900000000000000012> [a](https://b.c) ||x|| **y** ```z"
    message = answered(discord.person().command("imagine", prompt=words, steps=1, images=3))
    delivered(bot, message)
    assert len(message.attachments) == 3
    assert not message.mention_everyone


def test_longest_words(discord: Server, bot: Bot) -> None:
    asked = discord.person().command("imagine", prompt="*" * 2000, negative="_" * 2000, steps=1, images=8)
    delivered(bot, answered(asked))


def test_private(discord: Server, bot: Bot) -> None:
    message = answered(discord.person().command("imagine", prompt="a secret owl", steps=1, private=True))
    delivered(bot, message)
    assert message.flags & 64


def test_refusal_is_for_the_person_alone(discord: Server, bot: Bot) -> None:
    known = set(discord.world.messages)
    answered(discord.person().command("imagine", prompt="owl", sampler="no such sampler"))

    def new() -> list[Message]:
        return [each for key, each in discord.world.messages.items() if key not in known and not each.deleted]

    until(lambda: [bool(each.content and each.flags & 64) for each in new()] == [True], "one private answer alone", 10)
    assert "sampler" in new()[0].content
    assert not bot.jobs("owl")


def test_autocomplete(discord: Server, bot: Bot) -> None:
    for option, typed in (
        ("sampler", "eu"),
        ("schedule", ""),
        ("model", ""),
        ("options", "film"),
        ("options", "x" * 99),
    ):
        asked = discord.person().complete("imagine", option, typed, prompt="owl")
        until(lambda asked=asked: asked.choices is not None, f"proposals for {option}")
        assert asked.choices or typed.startswith("x")


def test_buttons(discord: Server, bot: Bot) -> None:
    ada, bob = discord.person(), discord.person(discord.world.bob)
    first = answered(ada.command("imagine", prompt="red car", seed=3, steps=1))
    delivered(bot, first)
    again = answered(ada.press(first, "Re-roll"))
    delivered(bot, again)
    assert again is not first
    form = ada.press(first, "Vary")
    until(lambda: form.modal is not None, "the form")
    varied = answered(ada.submit(form, prompt="green car"))
    delivered(bot, varied)
    assert [status for _, status in bot.jobs("green car")] == ["finished"]
    stranger = answered(bob.press(first, "Delete"))
    assert stranger.flags & 64 and not first.deleted
    ada.press(first, "Delete")
    until(lambda: first.deleted, "the message to go")


def test_cancel(discord: Server, bot: Bot) -> None:
    message = answered(discord.person().command("imagine", prompt="slow tree", steps=150, images=8))
    until(lambda: "Cancel" in buttons(message), "the button")
    discord.person().press(message, "Cancel")
    delivered(bot, message)
    assert [status for _, status in bot.jobs("slow tree")] == ["cancelled"]
    assert not message.attachments, "no picture is left of a job that was called off"
