"""The small Discord by itself: gateway, faults, the published description. No bot in here."""

from __future__ import annotations

import threading
import time

import aiohttp
import pytest
from little_discord import schema
from little_discord.client import Client
from little_discord.gateway import ACK, DISPATCH, HEARTBEAT, INVALID, RECONNECT
from little_discord.server import Server
from little_discord.waiting import until


@pytest.fixture
def discord(botless: Server) -> Server:
    return botless


@pytest.mark.skipif(schema.find() is None, reason=f"Discord's openapi.json is not here; {schema.VARIABLE} names it")
def test_requests_and_answers_are_checked_against_the_published_description(discord: Server, client: Client) -> None:
    assert discord.schemas is not None
    before = discord.schemas.checked
    with discord.expecting(50035):
        status, answer = client("POST", f"/channels/{discord.world.channel_id}/messages", {"embeds": "none"})
    assert status == 400 and "openapi.json" in str(answer)
    assert discord.schemas.checked >= before + 2  # the request and the refusal


@pytest.mark.parametrize("compress", [False, True])
def test_identify_resume_and_what_was_missed(discord: Server, client: Client, *, compress: bool) -> None:
    line = client.connect(compress=compress)
    session = line.identify()["session_id"]
    line.send(HEARTBEAT, line.seq)
    assert line.receive()[0] == ACK
    seen = line.seq
    discord.wait(discord.gateway.cut())
    assert line.receive()[0] == -1
    until(lambda: discord.gateway.session is not None and discord.gateway.session.socket is None, "the cut")
    discord.wait(discord.gateway.dispatch("MISSED", {"a": 1}))
    line = client.connect(compress=compress)
    line.resume(session, seen)
    assert line.receive() == (DISPATCH, "MISSED", {"a": 1})
    assert line.receive()[:2] == (DISPATCH, "RESUMED")
    discord.wait(discord.gateway.ask_to_reconnect())
    assert line.receive()[0] == RECONNECT
    discord.gateway.refuse_resume = True
    line = client.connect(compress=compress)
    line.resume(session, seen)
    assert line.receive() == (INVALID, None, False)


@pytest.mark.parametrize(("token", "intents", "code"), [("wrong", 1, 4004), (None, 1 << 15, 4014), (None, 3, 4014)])
def test_identify_refused(discord: Server, client: Client, token: str | None, intents: int, code: int) -> None:
    line = client.connect()
    assert (line.identify(token=token, intents=intents) if token else line.identify(intents=intents)) == code
    assert len(discord.violations) == 1
    discord.violations.clear()


def test_planned_answers(discord: Server, client: Client) -> None:
    path = f"/channels/{discord.world.channel_id}/messages"
    discord.faults.rate_limit("POST", r"/messages$", after=0.1)
    discord.faults.rate_limit("POST", r"/messages$", via=False)
    discord.faults.broken("POST", r"/messages$", status=502)
    assert client("POST", path, {"content": "1"})[1]["retry_after"] == 0.1
    assert "1015" in client("POST", path, {"content": "2"})[1]
    assert client("POST", path, {"content": "3"})[0] == 502
    assert client("POST", path, {"content": "4"})[0] == 200


def test_lost_and_late_answers(discord: Server, client: Client) -> None:
    path = f"/channels/{discord.world.channel_id}/messages"
    known = len(discord.world.messages)
    discord.faults.drop("POST", r"/messages$")
    with pytest.raises(aiohttp.ClientError):
        client("POST", path, {"content": "lost"})
    assert len(discord.world.messages) == known
    discord.faults.drop("POST", r"/messages$", after=True)
    with pytest.raises(aiohttp.ClientError):
        client("POST", path, {"content": "made"})
    assert len(discord.world.messages) == known + 1
    plan = discord.faults.hold("POST", r"/messages$")
    threading.Thread(target=lambda: plan.arrived.wait(5) and plan.released.set()).start()
    assert client("POST", path, {"content": "held"})[0] == 200
    discord.faults.delay("POST", r"/messages$", 0.2)
    begun = time.monotonic()
    assert client("POST", path, {"content": "late"})[0] == 200
    assert time.monotonic() - begun >= 0.2


def test_unplugged(discord: Server, client: Client) -> None:
    line = client.connect()
    discord.unplug()
    assert line.receive()[0] == -1
    with pytest.raises(aiohttp.ClientError):
        client("GET", "/users/@me")
    discord.plug_in()
    assert client("GET", "/users/@me")[0] == 200
