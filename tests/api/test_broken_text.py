"""Text that no database can hold is the sender's mistake on every route, never the server's, and changes nothing."""

from __future__ import annotations

import http.client
import json
from typing import Any

import httpx
import pytest

from serving import Served

BROKEN = ["a\x00b", "\x00", "a\ud800b", "\udfff"]
IDS = ["NUL between", "NUL", "half a pair between", "half a pair"]
WISH: dict[str, Any] = {"prompt": "blue cat", "steps": 1, "seed": 1}
broken = pytest.mark.parametrize("text", BROKEN, ids=IDS)


def post(client: httpx.Client, path: str, body: Any, method: str = "POST") -> httpx.Response:
    """In ASCII, so that half a surrogate pair gets there too."""
    headers = {"Content-Type": "application/json"}
    return client.request(method, path, content=json.dumps(body).encode("ascii"), headers=headers)


def refused(answer: httpx.Response, status: int = 400) -> str:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    return str(error["param"])


def put(name: str, text: str) -> dict[str, Any]:
    """A body in which a field of that name, dots between levels, holds the text."""
    head, _, rest = name.partition(".")
    return {head: put(rest, text) if rest else text}


@broken
@pytest.mark.parametrize(
    "field",
    [
        "prompt", "negative_prompt", "sampler", "schedule", "model", "init_image", "mask", "parent", "steps",
        "options.upscale.factor", "options.upscale.method", "options.film_grain.strength",
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/images/generations"])
def test_a_field_of_a_request(api: httpx.Client, path: str, field: str, text: str) -> None:
    assert field.startswith(refused(post(api, path, {**WISH, **put(field, text)})))


@broken
def test_names_of_fields(api: httpx.Client, operator: httpx.Client, text: str) -> None:
    for path in ("/v1/jobs", "/v1/images/generations"):
        assert refused(post(api, path, {**WISH, text: 1})) == text
        refused(post(api, path, {**WISH, "options": {text: {}}}))
        refused(post(api, path, {**WISH, "options": {"upscale": {text: 2}}}))
    refused(post(api, "/v1/images/generations", {**WISH, "size": text}))
    job_id = api.post("/v1/jobs", json=WISH).json()["job_id"]
    assert refused(post(api, f"/v1/jobs/{job_id}/rerun", {text: 1})) == text
    assert refused(post(api, f"/v1/jobs/{job_id}/rerun", {"new_seed": text})) == "new_seed"
    assert refused(post(operator, "/v1/schedule", {text: 1})) == text


# half a surrogate pair cannot be in an address: whoever tries sends bytes that are replaced when they are read
@pytest.mark.parametrize("text", ["%00", "a%00b", "%ED%A0%80", "%FF%FE"])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/jobs/{}"), ("GET", "/v1/jobs/{}/events"), ("GET", "/v1/jobs/{}/pictures/0"),
        ("POST", "/v1/jobs/{}/cancel"), ("POST", "/v1/jobs/{}/pause"), ("POST", "/v1/jobs/{}/resume"),
        ("PUT", "/v1/jobs/{}/favourite"), ("DELETE", "/v1/jobs/{}/favourite"), ("POST", "/v1/jobs/{}/rerun"),
        ("GET", "/v1/jobs/{}/children"), ("GET", "/v1/models/{}"), ("GET", "/page/pictures/{}.png"),
    ],
)  # fmt: skip
def test_a_name_in_the_path(api: httpx.Client, operator: httpx.Client, method: str, path: str, text: str) -> None:
    for client in (api, operator):
        assert client.request(method, path.format(text)).status_code == 404


def test_the_number_of_a_picture(api: httpx.Client) -> None:
    job_id = api.post("/v1/jobs", json=WISH).json()["job_id"]
    for number in ("%00", "9" * 5000, "-1", "٣"):
        assert refused(api.get(f"/v1/jobs/{job_id}/pictures/{number}"), 404) == "index"


@pytest.mark.parametrize("text", ["%00", "a%00b"])
@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/v1/jobs", "before"), ("GET", "/v1/jobs", "limit"),
        *(("GET", "/v1/history", name) for name in
          ("q", "person", "guild", "model", "sampler", "from", "to", "favourite", "status", "limit", "before")),
        ("GET", "/v1/export", "person"), ("DELETE", "/v1/me", "person"), ("GET", "/v1/people", "after"),
        ("GET", "/v1/people", "search"), ("GET", "/v1/people", "limit"), ("GET", "/v1/moderation/audit", "subject"),
        ("GET", "/v1/moderation/audit", "before"),
    ],
)  # fmt: skip
def test_a_query(operator: httpx.Client, method: str, path: str, name: str, text: str) -> None:
    assert refused(operator.request(method, f"{path}?{name}={text}")) == name


@pytest.mark.parametrize("name", ["q", "model", "before"])
def test_a_search_in_ones_own_history(api: httpx.Client, name: str) -> None:
    api.get("/")
    assert refused(api.get(f"/v1/history?{name}=%00")) == name
    assert refused(api.get(f"/v1/history?{name}%00=x")) == f"{name}\x00"


@broken
@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        ("moderation/words", {"word": "pig"}, ["word"]),
        ("moderation/words/remove", {"word": "pig"}, ["word"]),
        ("moderation/pictures", {"hash": "f" * 16, "reason": "x", "sha256s": []}, ["hash", "reason"]),
        ("moderation/pictures", {"job_id": "x", "reason": "x"}, ["job_id", "reason"]),
        ("moderation/pictures/remove", {"hash": "f" * 16}, ["hash"]),
        ("people/show", {"person": "x"}, ["person"]),
        ("people/role", {"person": "x", "role": "member"}, ["person", "role"]),
        ("people/ban", {"person": "x", "reason": "test_broken"}, ["person", "reason"]),
        ("people/unban", {"person": "x"}, ["person"]),
        ("people/link-code", {"person": "x"}, ["person"]),
        ("link", {"code": "ABCD-EFGH"}, ["code"]),
        ("models", {"folder": "/nowhere"}, ["folder"]),
        (
            "schedule",
            {
                "cron": "@daily",
                "request": WISH,
                "timezone": "UTC",
                "owner": "test_broken",
                "reply_to": {"front_end": "f"},
            },
            ["cron", "timezone", "owner", "reply_to.front_end", "reply_to.name", "request.prompt", "request.sampler"],
        ),
    ],
)
def test_what_operators_send(
    operator: httpx.Client, server: Served, path: str, body: dict[str, Any], fields: list[str], text: str
) -> None:
    with server.client(address="127.0.0.77") as visitor:
        for field in fields:
            head, _, rest = field.partition(".")
            value = {**body[head], rest: text} if rest else text
            answer = post(visitor if path == "link" else operator, f"/v1/{path}", {**body, head: value})
            if answer.status_code == 429:
                continue  # enough codes were tried
            assert refused(answer) in (head, rest)


def test_nobody_is_banned_scheduled_or_blocked(operator: httpx.Client) -> None:
    """By any of what was refused above."""
    assert "test_broken" not in operator.get("/v1/schedule").text
    assert not [each for each in operator.get("/v1/people").json()["data"] if each["ban_reason"] == "test_broken"]


@broken
def test_an_idempotency_key(server: Served, text: str) -> None:
    url = httpx.URL(server.url)
    raw = http.client.HTTPConnection(url.host, url.port or 0, timeout=60)  # lets more through than others do
    raw.putrequest("POST", "/v1/jobs")
    raw.putheader("Idempotency-Key", text.encode("utf-8", "surrogatepass"))
    raw.putheader("Content-Length", str(len(body := json.dumps(WISH).encode())))
    raw.endheaders(body)
    # bytes above 127 are letters of latin-1 there
    assert raw.getresponse().status == (400 if "\x00" in text else 201)
    raw.close()


@pytest.mark.parametrize("origin", ["http://[", "\x80", "http://]:x"])
def test_an_origin_that_is_none(api: httpx.Client, origin: str) -> None:
    answer = api.post("/v1/jobs", json=WISH, headers=[(b"Origin", origin.encode("latin-1"))])  # type: ignore[list-item]
    assert refused(answer, 403)


def test_nothing_above_was_a_fault_of_ours(server: Served) -> None:
    said = server.log.read_text()
    assert "Traceback" not in said
    assert "failed, reference" not in said
