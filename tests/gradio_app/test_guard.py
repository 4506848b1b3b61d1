"""The guard: only plain values reach Gradio."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from calotype_gradio.guard import BODY_LIMIT, Guard, fault


def flat(**call: Any) -> str | None:
    return fault(json.dumps(call).encode())


def test_what_the_page_sends_is_passed() -> None:
    assert flat(data=["cat", 1, 2.5, None, True], event_data=None, fn_index=0, trigger_id=5, session_hash="a1") is None
    assert flat(data=[], event_data={"index": 1, "value": "x"}) is None


@pytest.mark.parametrize("value", [{"path": "http://127.0.0.1/x", "meta": {"_type": "gradio.FileData"}}, ["a"], {}])
def test_nested_values_are_refused_wherever_they_are(value: Any) -> None:
    assert flat(data=["cat", value]) is not None
    assert flat(data=[], event_data={"x": value}) is not None
    assert flat(prompt=value) is not None  # the second version of Gradio's calls names its values


@pytest.mark.parametrize("session", ["../x", "", "a" * 65, 5, "a b"])
def test_a_session_is_a_short_word(session: Any) -> None:
    assert "session_hash" in str(flat(data=[], session_hash=session))


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"\xff", b"[" * 5000, b'{"data": "abc"}'])
def test_what_is_no_call_is_refused(body: bytes) -> None:
    assert fault(body) is not None


async def _ask(method: str, path: str, chunks: list[bytes], **headers: str) -> tuple[int, bytes]:
    """Status, and the body as the application behind the guard got it (or as the guard answered)."""
    sent: list[Any] = []

    async def behind(scope: Any, receive: Any, send: Any) -> None:
        got = await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": got["body"]})

    async def receive() -> Any:
        return {"type": "http.request", "body": chunks.pop(0) if chunks else b"", "more_body": bool(chunks)}

    async def send(message: Any) -> None:
        sent.append(message)

    names = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    await Guard(behind)({"type": "http", "method": method, "path": path, "headers": names}, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


def ask(method: str, path: str, *chunks: bytes, **headers: str) -> tuple[int, bytes]:
    return asyncio.run(_ask(method, path, list(chunks), **headers))


def test_a_call_in_pieces_arrives_whole() -> None:
    assert ask("POST", "/gradio_api/queue/join", b'{"data": ', b'["x"]}') == (200, b'{"data": ["x"]}')


def test_a_large_call_is_refused_without_being_kept() -> None:
    assert ask("POST", "/gradio_api/queue/join", *[b" " * 10_000] * 100)[0] == 413
    assert ask("POST", "/gradio_api/queue/join", b" " * BODY_LIMIT)[0] == 422


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "upload"), ("POST", "component_server"), ("GET", "deep_link"), ("GET", "file=/etc/passwd"),
        ("GET", "proxy=http://127.0.0.1"), ("POST", "vibe-edit"), ("PUT", "queue/join"), ("GET", "dev/reload"),
    ],
)  # fmt: skip
def test_doors_that_the_page_does_not_need_are_shut(method: str, path: str) -> None:
    assert ask(method, f"/gradio_api/{path}")[0] == 404


def test_other_front_ends_are_left_alone() -> None:
    body = b'{"options": {"karras": {"rho": 5}}}'
    assert ask("POST", "/v1/jobs", body, sec_fetch_site="cross-site") == (200, body)


def test_another_sites_page_cannot_call() -> None:
    assert ask("POST", "/gradio_api/queue/join", b'{"data": []}', sec_fetch_site="cross-site")[0] == 403
    assert ask("POST", "/gradio_api/queue/join", b'{"data": []}', sec_fetch_site="same-origin")[0] == 200
