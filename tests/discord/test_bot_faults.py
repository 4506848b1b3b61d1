"""The shipped bot when things go wrong: nothing accepted is lost, nothing is said twice."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from little_discord.bot import Bot, delivered
from little_discord.gateway import Gateway
from little_discord.person import answered, buttons
from little_discord.server import Server
from little_discord.waiting import until
from little_discord.world import Interaction, Message

pytestmark = pytest.mark.faults

COMMANDS = "/applications/{application_id}/commands"
CALLBACK, EDIT, POST = r"^/interactions/.*/callback$", r"^/webhooks/.*/messages/", r"^/channels/\d+/messages$"


def since(discord: Server, before: set[str]) -> list[Message]:
    """The messages that are new and still there."""
    return [each for key, each in discord.world.messages.items() if key not in before and not each.deleted]


def slow(discord: Server, bot: Bot, prompt: str) -> Interaction:
    """A job that takes seconds, under way."""
    asked = discord.person().command("imagine", prompt=prompt, steps=80, images=2)
    message = answered(asked)
    until(lambda: message.edits >= 1, "progress")
    until(lambda: [status for _, status in bot.jobs(prompt)] == ["running"], "the engine to begin")
    return asked


def test_killed_in_mid_job_and_old_buttons(discord: Server, bot: Bot) -> None:
    ada = discord.person()
    old = answered(ada.command("imagine", prompt="old boat", steps=1))
    delivered(bot, old)
    form = ada.press(old, "Vary")
    until(lambda: form.modal is not None, "the form")
    before = set(discord.world.messages)
    asked = slow(discord, bot, "a killed whale")
    message = answered(asked)
    bot.kill()
    begun = time.monotonic()
    bot.start()
    assert time.monotonic() - begun < 20, "on the gateway again; promised are 10 s on a machine of one's own"
    with discord.expecting(40060, 10062):  # a new process cannot know that it was answered; the ledger does
        ada.again(asked)
        delivered(bot, message)
    assert len(message.attachments) == 2
    assert since(discord, before) == [message]
    assert len(bot.jobs("a killed whale")) == 1
    again, varied = answered(ada.press(old, "Re-roll")), answered(ada.submit(form, prompt="new boat"))
    delivered(bot, again)
    delivered(bot, varied)
    assert [status for _, status in bot.jobs("new boat")] == ["finished"]
    ada.press(old, "Delete")
    until(lambda: old.deleted, "the old message to go")


def test_stopped_in_mid_job_and_started_while_discord_is_away(discord: Server, bot: Bot) -> None:
    message = answered(slow(discord, bot, "a stopped clock"))
    assert bot.stop() == 0
    sessions = len(discord.gateway.sessions)
    discord.unplug()
    try:
        bot.start(wait=False)
        until(lambda: "cannot be reached" in bot.tail(2000), "the bot to notice")
    finally:
        discord.plug_in()
    discord.until_session(sessions)
    delivered(bot, message)
    assert len(message.attachments) == 2
    edits = [each.at for each in discord.exchanges if each.method == "PATCH" and message.id in each.path]
    pauses = [after - before for before, after in pairwise(edits[:-1])]  # the last edit does not wait for its turn
    assert all(pause > 1.0 for pause in pauses), f"progress is shown at most once a second: {pauses}"


def test_finished_while_discord_is_away(discord: Server, bot: Bot) -> None:
    message = answered(slow(discord, bot, "a lonely lamp"))
    discord.unplug()
    try:
        until(lambda: [status for _, status in bot.jobs("a lonely lamp")] == ["finished"], "the picture")
        until(lambda: bot.rows("SELECT attempts FROM outbox WHERE attempts > 0"), "a try in vain")
    finally:
        discord.plug_in()
    delivered(bot, message)
    assert len(message.attachments) == 2
    second = answered(_once_back(discord))
    delivered(bot, second)


def _once_back(discord: Server) -> Interaction:
    until(lambda: discord.gateway.session is not None and discord.gateway.session.socket is not None, "the gateway")
    return discord.person().command("imagine", prompt="back again", steps=1)


def test_after_fifteen_minutes_and_killed_before_it_was_written_down(discord: Server, bot: Bot) -> None:
    before = set(discord.world.messages)
    first = answered(slow(discord, bot, "a late train"))
    plan = discord.faults.hold("POST", POST)
    with discord.expecting(50027):  # by the bot's own clock the token is good
        discord.world.shift = 901
        assert plan.arrived.wait(45), bot.tail()
        bot.kill()
        plan.released.set()
        bot.start()
        until(lambda: bot.undelivered() == 0, "the delivery to be written down")
    late = [each for each in since(discord, before) if each is not first]
    assert len(late) == 1 and len(late[0].attachments) == 2, "the same nonce, so the same message"
    assert "Re-roll" in buttons(late[0])
    assert len(discord.asked("POST", "/channels/{channel_id}/messages")) >= 2
    until(lambda: not buttons(first), "the reply to say where the result is")


@pytest.mark.parametrize("why", ["private", "forbidden"])
def test_after_fifteen_minutes_and_nowhere_to_go(discord: Server, bot: Bot, why: str) -> None:
    before, private = set(discord.world.messages), why == "private"
    posts = len(discord.asked("POST", "/channels/{channel_id}/messages"))
    first = answered(discord.person().command("imagine", prompt=f"late, {why}", steps=60, private=private))
    discord.faults.refused("POST", POST, status=403, code=50001, message="Missing Access")
    with discord.expecting(50027):
        discord.world.shift = 901
        until(lambda: [status for _, status in bot.jobs(f"late, {why}")] == ["finished"], "the picture")
        until(lambda: bot.undelivered() == 0, "the bot to give up")
    assert since(discord, before) == [first]
    assert len(discord.asked("POST", "/channels/{channel_id}/messages")) == posts + (not private)


def test_reply_deleted_meanwhile(discord: Server, bot: Bot) -> None:
    before = set(discord.world.messages)
    message = answered(slow(discord, bot, "a forgotten hat"))
    with discord.expecting(10008):
        message.deleted = True
        until(lambda: [status for _, status in bot.jobs("a forgotten hat")] == ["finished"], "the picture")
        until(lambda: bot.undelivered() == 0, "the bot to give up")
    assert since(discord, before) == []


@pytest.mark.parametrize("how", ["cut", "op 7", "op 9"])
def test_gateway(discord: Server, bot: Bot, how: str) -> None:
    gateway: Gateway = discord.gateway
    session, sessions = gateway.session, len(gateway.sessions)
    assert session is not None
    resumed = session.resumed
    if how == "op 9":
        discord.wait(gateway.invalidate())
        until(lambda: len(gateway.sessions) > sessions and gateway.sessions[-1].ready, "a new session")
        asked = discord.person().command("imagine", prompt="a new line", steps=1)
    else:
        discord.wait(gateway.cut() if how == "cut" else gateway.ask_to_reconnect())
        until(lambda: session.socket is None or session.resumed > resumed, "the line to end")
        asked = discord.person().command("imagine", prompt=f"missed by {how}", steps=1)
    delivered(bot, answered(asked))
    if how != "op 9":
        assert (session.resumed, len(gateway.sessions)) == (resumed + 1, sessions), "resumed, not begun anew"
    assert asked.callbacks == 1


@pytest.mark.parametrize(
    "fault", ["callback 429", "callback 503", "callback lost", "callback not answered", "callback answered late"]
)
def test_trouble_with_the_acknowledgement(discord: Server, bot: Bot, fault: str) -> None:
    faults = discord.faults
    match fault:
        case "callback 429":
            faults.rate_limit("POST", CALLBACK, after=0.2)
        case "callback 503":
            faults.broken("POST", CALLBACK)
        case "callback lost":
            faults.drop("POST", CALLBACK)
        case "callback not answered":
            faults.drop("POST", CALLBACK, after=True)
        case _:
            faults.delay("POST", CALLBACK, 3.5)
    with discord.expecting(40060):  # a second try finds the first one done
        asked = discord.person().command("imagine", prompt=f"with {fault}", steps=1)
        delivered(bot, answered(asked), 15)
    assert len(bot.jobs(f"with {fault}")) == 1


@pytest.mark.parametrize("fault", ["429", "429 by the wall", "502", "lost", "not answered"])
def test_trouble_with_the_edits(discord: Server, bot: Bot, fault: str) -> None:
    faults, before = discord.faults, set(discord.world.messages)
    if fault == "429":
        faults.rate_limit("PATCH", EDIT, after=0.2, times=2)
    if fault == "429 by the wall":
        faults.rate_limit("PATCH", EDIT, via=False)
    if fault == "502":
        faults.broken("PATCH", EDIT, status=502)
    if fault == "lost":
        faults.drop("PATCH", EDIT)
    if fault == "not answered":
        faults.drop("PATCH", EDIT, after=True)
    asked = discord.person().command("imagine", prompt=f"edits: {fault}", steps=1)
    message = answered(asked)
    delivered(bot, message)
    assert since(discord, before) == [message] and len(message.attachments) == 1


def test_the_same_interaction_twice(discord: Server, bot: Bot) -> None:
    before = set(discord.world.messages)
    asked = discord.person().command("imagine", prompt="one twin", steps=1)
    discord.person().again(asked)
    message = answered(asked)
    delivered(bot, message)
    discord.person().again(asked)
    other = answered(discord.person().command("imagine", prompt="a marker", steps=1))
    delivered(bot, other)  # events come in order, so the repetition has been dealt with
    assert (asked.callbacks, len(bot.jobs("one twin"))) == (1, 1)
    assert since(discord, before) == [message, other]


def test_burst(discord: Server, bot: Bot) -> None:
    people = [discord.person(), discord.person(discord.world.bob)]
    asked = [people[n % 2].command("imagine", prompt=f"burst {n}", steps=1) for n in range(40)]
    for each in asked:
        delivered(bot, answered(each))
    slowest = max((each.acknowledged or 1e9) - each.created for each in asked)
    assert slowest < 3.0


def test_commands_were_sent_once(discord: Server, bot: Bot) -> None:
    if bot.starts < 2:  # alone, without the tests before it
        bot.kill()
        bot.start()
    assert len(discord.asked("PUT", COMMANDS)) == 1, "the commands do not change between starts"
