"""The road that OpenAI's clients take: first pictures, sizes, and what happens when the client leaves."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import socket
import time

import httpx
import openai
import pytest
from openai import OpenAI
from PIL import Image

from serving import Served, until

WISH = {"prompt": "blue cat", "seed": 11, "steps": 3}


def _png(b64: str | None) -> tuple[bytes, tuple[int, int]]:
    assert b64 is not None
    content = base64.b64decode(b64)
    with Image.open(io.BytesIO(content)) as image:
        assert image.format == "PNG"
        return content, image.size


def test_first_picture(api: httpx.Client) -> None:
    answer = api.post("/v1/images/generations", json=WISH)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert abs(body["created"] - time.time()) < 60
    (picture,) = body["data"]
    content, size = _png(picture["b64_json"])
    assert (picture["seed"], picture["revised_prompt"]) == (11, None)
    assert hashlib.sha256(content).hexdigest() == picture["sha256"]
    assert size == (256, 256)
    assert body["size"] == "256x256"
    assert api.get(f"/v1/jobs/{body['job_id']}").json()["status"] == "finished"


def test_the_official_client_unchanged(server: Served, api: httpx.Client) -> None:
    client = OpenAI(base_url=f"{server.url}/v1", api_key="any")
    assert [model.id for model in client.models.list()] == ["calotype-emoji"]
    assert client.models.retrieve("calotype-emoji").owned_by == "calotype"
    made = client.images.generate(
        model="calotype-emoji",
        prompt="blue cat",
        n=2,
        size="256x256",
        quality="high",
        style="vivid",
        background="auto",
        moderation="low",
        response_format="b64_json",
        user="somebody",
        extra_body={"seed": 11, "steps": 3},
    )
    assert made.data is not None
    assert len(made.data) == 2
    plain = api.post("/v1/images/generations", json=WISH).json()
    assert _png(made.data[0].b64_json)[0] == _png(plain["data"][0]["b64_json"])[0]
    assert made.data[0].b64_json != made.data[1].b64_json
    with pytest.raises(openai.BadRequestError) as wrong:
        client.images.generate(prompt="", size="256x256")
    assert wrong.value.param == "prompt"
    assert wrong.value.code == "bad_request"


def test_size_without_the_post_processor(api: httpx.Client) -> None:
    body = api.post("/v1/images/generations", json={**WISH, "size": "64x64"}).json()
    assert _png(body["data"][0]["b64_json"])[1] == (64, 64)


def test_size_and_options_together(api: httpx.Client) -> None:
    grainy = {**WISH, "size": "256x256", "options": {"film_grain": {"strength": 0.5}}}
    assert api.post("/v1/images/generations", json=grainy).status_code == 200
    against = {**WISH, "size": "256x256", "options": {"upscale": False}}
    answer = api.post("/v1/images/generations", json=against)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "size"
    assert "64x64" in answer.json()["error"]["message"]


def test_url_instead_of_base64(api: httpx.Client, other: httpx.Client) -> None:
    body = api.post("/v1/images/generations", json={**WISH, "response_format": "url"}).json()
    (picture,) = body["data"]
    assert "b64_json" not in picture
    content = api.get(picture["url"]).content
    assert hashlib.sha256(content).hexdigest() == picture["sha256"]
    assert other.get(picture["url"]).status_code == 404


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", "1024x1024"),
        ("size", 256),
        ("n", 0),
        ("n", 9),
        ("n", "2"),
        ("images", 2),
        ("stream", True),
        ("response_format", "jpeg"),
        ("output_format", "webp"),
        ("background", "transparent"),
        ("model", "dall-e-3"),
        ("frame_count", 2),
        ("seed", 1.5),
    ],
)
def test_what_cannot_be_had_is_said(api: httpx.Client, field: str, value: object) -> None:
    answer = api.post("/v1/images/generations", json={**WISH, field: value})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", "bad_request", field)
    if field == "size" and isinstance(value, str):
        assert "use auto, 256x256, 64x64" in error["message"]


def test_nulls_are_defaults(api: httpx.Client) -> None:
    nulls = dict.fromkeys(["n", "size", "response_format", "stream", "background", "model", "user", "sampler"])
    assert api.post("/v1/images/generations", json={**WISH, **nulls}).status_code == 200


def test_a_client_that_leaves_takes_its_job_along(server: Served, operator: httpx.Client) -> None:
    body = json.dumps({"prompt": "the one who left", "steps": 150, "n": 8}).encode()
    host, port = httpx.URL(server.url).host, httpx.URL(server.url).port
    with socket.create_connection((host, port)) as raw:
        head = f"POST /v1/images/generations HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        raw.sendall(head.encode() + body)
        running = until(lambda: _newest(operator, "running"), "the job to run")
    until(lambda: _newest(operator, "cancelled") == running, "the job to be cancelled")


def _newest(operator: httpx.Client, status: str) -> str | None:
    jobs = operator.get("/v1/jobs", params={"limit": 1}).json()["data"]
    found = [job["job_id"] for job in jobs if job["status"] == status]
    return found[0] if found else None
