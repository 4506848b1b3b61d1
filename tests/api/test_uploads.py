"""Pictures that are brought over HTTP to start from."""

from __future__ import annotations

import io
import socket
import struct
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from PIL import Image

from calotype.images.intake import UPLOAD_LIMIT
from calotype_api.routes.uploads import UPLOADS_AT_ONCE
from serving import Served, server_sent, until


def photograph(colour: str = "red", kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (90, 60), colour).save(buffer, kind)
    return buffer.getvalue()


def ended(client: httpx.Client, job_id: str) -> str:
    with client.stream("GET", f"/v1/jobs/{job_id}/events") as answer:
        return server_sent(list(answer.iter_lines()))[-1][0]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_bring_a_picture_and_start_from_it(api: httpx.Client, kind: str) -> None:
    answer = api.post("/v1/pictures", content=photograph(kind=kind), headers={"Content-Type": "text/plain"})
    assert answer.status_code == 201
    assert list(answer.json()) == ["sha256"]
    wish = {"prompt": "tomato", "steps": 10, "seed": 1, "init_image": answer.json()["sha256"], "strength": 0.3}
    job = api.post("/v1/jobs", json=wish).json()
    assert job["request"] == job["request"] | wish
    with api.stream("GET", f"/v1/jobs/{job['job_id']}/events") as stream:
        events = server_sent(list(stream.iter_lines()))
    assert {data["steps"] for name, data in events if name == "stepped"} == {3}
    assert events[-1][0] == "finished"


def test_from_ones_own_finished_picture_with_the_default_strength(api: httpx.Client, other: httpx.Client) -> None:
    first = api.post("/v1/jobs", json={"prompt": "cat", "steps": 2, "seed": 3}).json()
    assert ended(api, first["job_id"]) == "finished"
    sha256 = api.get(f"/v1/jobs/{first['job_id']}").json()["pictures"][0]["sha256"]
    wish = {"prompt": "tiger", "steps": 5, "seed": 3, "init_image": sha256}
    again = [api.post("/v1/jobs", json=wish, headers={"Idempotency-Key": "tiger"}) for _ in range(2)]
    assert [answer.status_code for answer in again] == [201, 201]
    assert again[0].json()["job_id"] == again[1].json()["job_id"]
    assert again[0].json()["request"]["strength"] == 0.7
    assert ended(api, again[0].json()["job_id"]) == "finished"
    for foreign in (sha256, "ab" * 32):
        refused = other.post("/v1/jobs", json=wish | {"init_image": foreign})
        assert refused.status_code == 400
        assert refused.json()["error"]["param"] == "init_image"
        assert "is not one of your pictures" in refused.json()["error"]["message"]


def files(home: Path) -> set[str]:
    return {file.name for file in (home / "images").glob("*/*")}


def test_what_is_not_taken_leaves_nothing(server: Served, api: httpx.Client) -> None:
    before = files(server.home)
    bomb = bytearray(photograph(kind="PNG"))
    bomb[16:24] = struct.pack(">II", 40_000, 40_000)
    for data, said in ((b"", "is not a PNG"), (b"<svg/>", "is not a PNG"), (bytes(bomb), "picture: ")):
        answer = api.post("/v1/pictures", content=data)
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert error["param"] == "picture"
        assert said in error["message"]
    large = api.post("/v1/pictures", content=b"\x89PNG\r\n\x1a\n" + bytes(UPLOAD_LIMIT))
    assert large.status_code == 413
    assert large.json()["error"]["problems"] == [
        {"field": "body", "message": f"is larger than {UPLOAD_LIMIT} bytes; send less"}
    ]
    assert files(server.home) == before


def test_only_so_many_are_brought_at_once(api: httpx.Client, other: httpx.Client) -> None:
    """Senders that dawdle hold all places: the next one is asked to come back, and is served once they are done."""
    data, url = photograph(), api.base_url
    head = f"POST /v1/pictures HTTP/1.1\r\nHost: {url.host}:{url.port}\r\nContent-Length: {len(data)}\r\n\r\n"
    with ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection((url.host, url.port), timeout=30))
            for _ in range(UPLOADS_AT_ONCE)
        ]
        for each in slow:
            each.sendall(head.encode() + data[:10])
        answer = until(lambda: refused if (refused := bring(other)).status_code == 503 else None, "a refusal")
        assert "send it again in a few seconds" in answer.json()["error"]["message"]
        for each in slow:
            each.sendall(data[10:])
            assert each.recv(100).startswith(b"HTTP/1.1 201 ")
    assert bring(other).status_code == 201


def bring(client: httpx.Client) -> httpx.Response:
    return client.post("/v1/pictures", content=photograph())


def test_a_page_of_another_site_brings_nothing(api: httpx.Client) -> None:
    answer = api.post("/v1/pictures", content=photograph(), headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
