"""The small Discord by itself: each rule refuses what it must. No bot in here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from little_discord.client import Client
from little_discord.server import Server
from little_discord.world import Interaction

BUTTON = {"type": 2, "style": 1, "label": "Again", "custom_id": "again"}
V2 = 1 << 15
TEXT = {"type": 10, "content": "words"}


@pytest.fixture
def discord(botless: Server) -> Server:
    return botless


@pytest.fixture(autouse=True)
def _without_the_published_description(discord: Server) -> Iterator[None]:
    """So that it is the rules that refuse, on a machine that lacks the description as well."""
    schemas, discord.schemas = discord.schemas, None
    yield
    discord.schemas = schemas


def row(*buttons: dict[str, Any]) -> dict[str, Any]:
    return {"type": 1, "components": list(buttons)}


def command(**more: Any) -> dict[str, Any]:
    return {"name": "imagine", "description": "A picture", "type": 1, **more}


def option(name: str = "prompt", **more: Any) -> dict[str, Any]:
    return {"type": 3, "name": name, "description": "Words", **more}


def interaction(discord: Server, kind: int = 2) -> Interaction:
    data: dict[str, Any] = {"id": "1", "name": "imagine", "type": 1, "options": []}
    if kind == 4:
        data["options"] = [{"name": "prompt", "type": 3, "value": "b", "focused": True}]
    return discord.world.new_interaction(kind, data, discord.world.ada, discord.world.channel_id)


def callback(client: Client, made: Interaction, body: Any, **more: Any) -> tuple[int, Any]:
    return client("POST", f"/interactions/{made.id}/{made.token}/callback?with_response=1", body, token=None, **more)


def original(client: Client, method: str, made: Interaction, body: Any = None, **more: Any) -> tuple[int, Any]:
    path = f"/webhooks/{client.server.world.application_id}/{made.token}/messages/@original"
    return client(method, path, body, token=None, **more)


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({"content": "x", "surprise": 1}, id="unknown key"),
        pytest.param({"content": "x" * 2001}, id="content over 2000"),
        pytest.param({"embeds": [{"title": "x"}] * 11}, id="11 embeds"),
        pytest.param({"embeds": [{"description": "x" * 3001}, {"description": "x" * 3000}]}, id="embeds over 6000"),
        pytest.param({"embeds": [{"image": {"url": "attachment://lost.png"}}]}, id="a picture that is not there"),
        pytest.param({"components": [row({**BUTTON, "custom_id": str(n)}) for n in range(6)]}, id="6 rows"),
        pytest.param({"components": [row(*({**BUTTON, "custom_id": str(n)} for n in range(6)))]}, id="6 buttons"),
        pytest.param({"components": [row(BUTTON, BUTTON)]}, id="custom_id twice"),
        pytest.param({"components": [row({**BUTTON, "custom_id": "x" * 101})]}, id="custom_id over 100"),
        pytest.param({"components": [row({**BUTTON, "style": 5, "url": "https://a.b"})]}, id="link with custom_id"),
        pytest.param({"components": [row({"type": 2, "style": 1, "custom_id": "a"})]}, id="nothing on the button"),
        pytest.param({"components": [TEXT]}, id="V2 without its flag"),
        pytest.param({"components": [TEXT], "flags": V2, "content": "x"}, id="V2 with content"),
        pytest.param({"components": [TEXT], "flags": V2, "embeds": [{"title": "x"}]}, id="V2 with embeds"),
        pytest.param({"components": [TEXT] * 41, "flags": V2}, id="V2 with 41 components"),
        pytest.param({"components": [{"type": 12, "items": []}], "flags": V2}, id="empty gallery"),
        pytest.param({"content": "x", "nonce": "x" * 26}, id="nonce over 25"),
        pytest.param({"content": "x", "attachments": [{"id": 0}]}, id="an attachment without its file"),
        pytest.param({"content": "x", "allowed_mentions": {"parse": ["users"], "users": ["1"]}}, id="mentions twice"),
        pytest.param({"content": "x", "message_reference": {"message_id": "5"}}, id="reply to nothing"),
        pytest.param({"content": "x", "flags": 1 << 7}, id="a flag that is not ours to set"),
    ],
)
def test_bad_message(discord: Server, client: Client, bad: dict[str, Any]) -> None:
    with discord.expecting(50035):
        status, answer = client("POST", f"/channels/{discord.world.channel_id}/messages", bad)
    assert (status, answer["code"]) == (400, 50035)


@pytest.mark.parametrize("empty", [{}, {"content": ""}, {"embeds": [], "components": [], "content": None}])
def test_empty_message(discord: Server, client: Client, empty: dict[str, Any]) -> None:
    with discord.expecting(50006):
        status, answer = client("POST", f"/channels/{discord.world.channel_id}/messages", empty)
    assert (status, answer["code"]) == (400, 50006)


def test_files(discord: Server, client: Client) -> None:
    path = f"/channels/{discord.world.channel_id}/messages"
    with discord.expecting(40005):
        assert client("POST", path, {}, files={"a.png": bytes(10 * 2**20 + 1)})[0] == 413
        assert client("POST", path, {}, files={f"{n}.png": bytes(9 * 2**20) for n in range(3)})[0] == 413
    with discord.expecting(50035):
        assert client("POST", path, {"attachments": []}, files={"a.png": b"png"})[0] == 400
    body = {"attachments": [{"id": 0, "description": "a cat"}], "embeds": [{"image": {"url": "attachment://a.png"}}]}
    status, message = client("POST", path, body, files={"a.png": b"png"})
    assert status == 200
    assert client.fetch(message["attachments"][0]["url"]) == b"png"
    status, message = client("PATCH", f"{path}/{message['id']}", {"content": "gone", "attachments": [], "embeds": []})
    assert (status, message["attachments"]) == (200, [])
    assert client("DELETE", f"{path}/{message['id']}") == (204, None)
    with discord.expecting(10008):
        assert client("GET", f"{path}/{message['id']}")[0] == 404


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param([command(surprise=1)], id="unknown key"),
        pytest.param([command(name="Imagine")], id="upper case"),
        pytest.param([command(name="i" * 33)], id="name over 32"),
        pytest.param([command(description="")], id="no description"),
        pytest.param([command(description="x" * 101)], id="description over 100"),
        pytest.param([command(name=f"c{n}") for n in range(101)], id="101 commands"),
        pytest.param([command(), command()], id="two of one name"),
        pytest.param([command(options=[option(f"o{n}") for n in range(26)])], id="26 options"),
        pytest.param([command(options=[option("a"), option("b", required=True)])], id="required after optional"),
        pytest.param(
            [command(options=[option(autocomplete=True, choices=[{"name": "a", "value": "a"}])])], id="both choices"
        ),
        pytest.param([command(options=[option("A")])], id="upper case in an option"),
        pytest.param([command(options=[option(), option()])], id="two options of one name"),
        pytest.param(
            [command(options=[option(choices=[{"name": f"{n}", "value": f"{n}"} for n in range(26)])])],
            id="26 choices",
        ),
        pytest.param([command(options=[option(choices=[{"name": "a", "value": "x" * 101}])])], id="value over 100"),
        pytest.param([command(options=[option(min_value=1)])], id="a least value for text"),
        pytest.param(
            [
                command(
                    options=[
                        option(f"o{n}", choices=[{"name": f"{n}-{m}" + "x" * 90, "value": f"{m}"} for m in range(25)])
                        for n in range(4)
                    ]
                )
            ],
            id="8000 characters",
        ),
    ],
)
def test_bad_commands(discord: Server, client: Client, bad: list[dict[str, Any]]) -> None:
    with discord.expecting(50035):
        status, answer = client("PUT", f"/applications/{discord.world.application_id}/commands", bad)
    assert (status, answer["code"]) == (400, 50035)


def test_commands_keep_their_numbers(discord: Server, client: Client) -> None:
    path = f"/applications/{discord.world.application_id}/commands"
    _, first = client("PUT", path, [command(), command(name="other")])
    _, second = client("PUT", path, [command(description="Another picture")])
    assert (second[0]["id"], second[0]["description"]) == (first[0]["id"], "Another picture")
    assert client("GET", path) == (200, second)
    client("PUT", path, [])


def test_three_seconds(discord: Server, client: Client) -> None:
    late = interaction(discord)
    discord.world.shift = 3.1
    with discord.expecting(10062):
        assert callback(client, late, {"type": 5})[1]["code"] == 10062
        assert client("POST", "/interactions/1/no-such-token/callback", {"type": 5}, token=None)[0] == 404


def test_one_acknowledgement_only(discord: Server, client: Client) -> None:
    made = interaction(discord)
    assert callback(client, made, {"type": 5, "data": {"flags": 64}})[0] == 200
    with discord.expecting(40060):
        assert callback(client, made, {"type": 4, "data": {"content": "x"}})[1]["code"] == 40060


def test_nothing_before_the_acknowledgement(discord: Server, client: Client) -> None:
    made = interaction(discord)
    with discord.expecting(10015):
        assert original(client, "PATCH", made, {"content": "x"})[1]["code"] == 10015


def test_fifteen_minutes(discord: Server, client: Client) -> None:
    made = interaction(discord)
    callback(client, made, {"type": 5})
    discord.world.shift = 899
    assert original(client, "PATCH", made, {"content": "in time"})[1]["content"] == "in time"
    discord.world.shift = 901
    with discord.expecting(50027):
        assert original(client, "PATCH", made, {"content": "late"})[1]["code"] == 50027


def test_deferral(discord: Server, client: Client) -> None:
    made = interaction(discord)
    status, answer = callback(client, made, {"type": 5, "data": {"flags": 64}})
    assert (status, answer["interaction"]["response_message_loading"]) == (200, True)
    assert made.original is not None and made.original.flags == 64 | 128
    follow_up = f"/webhooks/{discord.world.application_id}/{made.token}"
    assert client("POST", follow_up, {"content": "first"}, token=None)[1]["id"] == made.original.id
    second = client("POST", follow_up, {"content": "second"}, token=None)[1]
    assert second["id"] != made.original.id
    assert client("PATCH", f"{follow_up}/messages/{second['id']}", {"content": "2"}, token=None)[1]["content"] == "2"
    assert client("DELETE", f"{follow_up}/messages/{second['id']}", token=None)[0] == 204
    with discord.expecting(10008):  # an ephemeral message is not in its channel
        assert client("GET", f"/channels/{made.channel_id}/messages/{made.original.id}")[0] == 404
    assert original(client, "GET", made)[1]["content"] == "first"


def test_v2_stays(discord: Server, client: Client) -> None:
    made = interaction(discord)
    callback(client, made, {"type": 4, "data": {"components": [TEXT], "flags": V2}})
    with discord.expecting(50035):
        assert original(client, "PATCH", made, {"content": "x"})[0] == 400
    assert original(client, "PATCH", made, {"components": [TEXT, TEXT]})[0] == 200


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (2, {"type": 6}),
        (2, {"type": 8, "data": {"choices": []}}),
        (4, {"type": 5}),
        (4, {"type": 8, "data": {"choices": [{"name": "a", "value": "x" * 101}]}}),
        (4, {"type": 8, "data": {"choices": [{"name": "a", "value": "a"}] * 26}}),
        (4, {"type": 8, "data": {"choices": [{"name": "", "value": "a"}]}}),
        (2, {"type": 9, "data": {"custom_id": "m", "title": "x" * 46, "components": [row()]}}),
        (2, {"type": 9, "data": {"custom_id": "m", "title": "x", "components": []}}),
        (2, {"type": 9, "data": {"custom_id": "m", "title": "x", "components": [row(BUTTON)]}, "extra": 1}),
        (5, {"type": 9, "data": {"custom_id": "m", "title": "x", "components": []}}),
        (2, {"type": 5, "data": {"content": "x"}}),
    ],
)
def test_bad_callback(discord: Server, client: Client, kind: int, body: dict[str, Any]) -> None:
    made = interaction(discord, kind)
    with discord.expecting(50035):
        assert callback(client, made, body)[1]["code"] == 50035
    assert made.acknowledged is None


def test_modal(discord: Server, client: Client) -> None:
    made = interaction(discord)
    field = {"type": 4, "custom_id": "prompt", "style": 2, "max_length": 2000, "required": True}
    label = {"type": 18, "label": "Prompt", "component": field}
    assert (
        callback(client, made, {"type": 9, "data": {"custom_id": "m", "title": "Vary", "components": [label]}})[0]
        == 200
    )
    assert made.modal is not None


def test_nonce(discord: Server, client: Client) -> None:
    path = f"/channels/{discord.world.channel_id}/messages"
    body = {"content": "once", "nonce": "7", "enforce_nonce": True}
    first, second = client("POST", path, body)[1], client("POST", path, body)[1]
    assert first["id"] == second["id"]
    discord.world.shift = 301
    assert client("POST", path, body)[1]["id"] != first["id"]
    assert client("POST", path, {**body, "enforce_nonce": False})[1]["id"] != first["id"]


def test_authorization_and_routes(discord: Server, client: Client) -> None:
    with discord.expecting(0):
        assert client("GET", "/users/@me", token="wrong")[0] == 401
        assert client("GET", "/no/such/route")[0] == 404
    with discord.expecting(10003):
        assert client("GET", "/channels/5")[0] == 404
    for path in ("/users/@me", "/applications/@me", "/oauth2/applications/@me", "/gateway/bot"):
        assert client("GET", path)[0] == 200
    assert client("GET", f"/channels/{discord.world.channel_id}")[0] == 200


def test_a_refusal_is_a_violation(discord: Server, client: Client) -> None:
    client("POST", f"/channels/{discord.world.channel_id}/messages", {"content": "x" * 2001})
    assert len(discord.violations) == 1 and "2001 characters" in discord.violations[0]
    discord.violations.clear()
