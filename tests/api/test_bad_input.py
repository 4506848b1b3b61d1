"""What the API refuses, in which shape, and that it goes on."""

from __future__ import annotations

import http.client
import json
from typing import Any

import httpx
import pytest

from serving import Served

GOOD: dict[str, Any] = {"prompt": "blue cat", "steps": 1}

FIELDS: list[tuple[str, Any]] = [
    ("prompt", ""),
    ("prompt", None),
    ("prompt", 7),
    ("prompt", "x" * 10_000),
    ("prompt", "\ud800"),
    ("prompt", "cat \x00\x1b"),
    ("negative_prompt", "x" * 2001),
    ("steps", 0),
    ("steps", 10**6),
    ("steps", "20"),
    ("steps", 2.5),
    ("steps", True),
    ("steps", 10**400),
    ("guidance", 0),
    ("guidance", 31),
    ("guidance", "7"),
    ("guidance_rescale", -0.1),
    ("seed", -1),
    ("seed", 2**53),
    ("width", 65),
    ("width", 2**20),
    ("height", 7),
    ("images", 0),
    ("images", 9),
    ("sampler", "eulr"),
    ("sampler", ""),
    ("schedule", "none"),
    ("model", "nothing-like-it"),
    ("model", "\ud800"),
    ("options", []),
    ("init_image", "ab"),
    ("init_image", "ab" * 32),
    ("init_image", 7),
    ("strength", 0.5),
    ("mask", "ab" * 32),
    ("mask", 7),
    ("unknown", 1),
]
OPTIONS: list[tuple[str, Any]] = [
    ("options.nope", {}),
    ("options.\ud800", {}),
    ("options.upscale", 2),
    ("options.upscale.factor", {"factor": 3}),
    ("options.upscale.faktor", {"faktor": 2}),
    ("options.film_grain.strength", {"strength": [1]}),
    ("options.dpmpp_2m", True),
    ("options.heun", {}),
]


def _checked(answer: httpx.Response, status: int = 400, code: str = "bad_request") -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert "Traceback" not in answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code", "problems"}
    assert (error["type"], error["code"]) == ("invalid_request_error", code)
    assert "\n" not in error["message"]
    return error


def _counts(operator: httpx.Client) -> list[str]:
    return [job["job_id"] for job in operator.get("/v1/jobs", params={"limit": 200}).json()["data"]]


@pytest.mark.parametrize(("field", "value"), FIELDS)
def test_a_wrong_field_is_named(api: httpx.Client, operator: httpx.Client, field: str, value: Any) -> None:
    before = _counts(operator)
    body = json.dumps({**GOOD, field: value}).encode()
    error = _checked(api.post("/v1/jobs", content=body))
    assert error["param"] == field
    assert error["message"].startswith(f"{field}: ")
    assert error["problems"][0]["field"] == field
    assert _counts(operator) == before


@pytest.mark.parametrize(("field", "value"), OPTIONS)
def test_a_wrong_parameter_is_named(api: httpx.Client, field: str, value: Any) -> None:
    body = json.dumps({**GOOD, "options": {field.split(".")[1]: value}}).encode()
    assert _checked(api.post("/v1/jobs", content=body))["param"] == field


def test_every_problem_is_told(api: httpx.Client) -> None:
    error = _checked(api.post("/v1/jobs", json={"steps": 0, "seed": -1}))
    assert {problem["field"] for problem in error["problems"]} == {"prompt", "steps", "seed"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"cat"',
        b"null",
        b'{"prompt": "cat", "guidance": NaN}',
        b'{"prompt": "cat", "guidance": -Infinity}',
        b'{"prompt": "\xff\xfe"}',
        b"\x89PNG\r\n\x1a\n",
        b"[" * 100_000,
        b'{"prompt": "cat", "seed": ' + b"9" * 10_000 + b"}",
        b"prompt=cat",
    ],
)
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/images/generations"])
def test_a_body_that_is_no_object(api: httpx.Client, path: str, body: bytes) -> None:
    assert _checked(api.post(path, content=body))["param"] == "body"


def test_infinity_by_overflow(api: httpx.Client) -> None:
    assert _checked(api.post("/v1/jobs", content=b'{"prompt": "cat", "guidance": 1e999}'))["param"] == "guidance"
    content = b'{"prompt": "cat", "options": {"film_grain": {"strength": 1e999}}}'
    assert _checked(api.post("/v1/jobs", content=content))["param"].startswith("options.film_grain.strength")


def test_a_body_over_the_limit(api: httpx.Client) -> None:
    just = json.dumps({**GOOD, "prompt": "x"}).encode()
    _checked(api.post("/v1/jobs", content=just + b" " * (2**20 + 1 - len(just))), 413, "too_large")
    _checked(api.post("/v1/jobs", content=iter([b" " * 2**20] * 3)), 413, "too_large")
    assert api.post("/v1/jobs", content=just + b" " * (2**20 - len(just))).status_code == 201


def test_paths_and_methods_that_do_not_exist(api: httpx.Client) -> None:
    for method, path in [("GET", "/v1/nope"), ("DELETE", "/v1/jobs"), ("GET", "/v1/images/generations")]:
        _checked(api.request(method, path), 404, "not_found")
    _checked(api.get("/v1/jobs/x/pictures/first"), 404, "not_found")
    _checked(api.get("/v1/jobs/..%2f..%2fetc/pictures/0"), 404, "not_found")
    _checked(api.get("/v1/models/none"), 404, "not_found")


def test_no_documentation_pages(api: httpx.Client) -> None:
    for path in ("/docs", "/redoc", "/v1/openapi.json"):
        assert api.get(path).status_code == 404


@pytest.mark.parametrize(
    ("headers", "word"),
    [
        ({"Origin": "https://elsewhere.example", "Content-Type": "text/plain"}, "origin"),
        ({"Origin": "null"}, "origin"),
        ({"Sec-Fetch-Site": "cross-site"}, "origin"),
        ({"Host": "elsewhere.example"}, "host"),
    ],
)
def test_a_foreign_page_cannot_use_a_visitors_browser(api: httpx.Client, headers: dict[str, str], word: str) -> None:
    answer = api.post("/v1/jobs", json=GOOD, headers=headers)
    _checked(answer, 403, "not_allowed")
    assert answer.json()["error"]["message"].startswith(word)


def test_a_page_of_this_site_may(api: httpx.Client) -> None:
    own = str(api.base_url).rstrip("/")
    assert api.post("/v1/jobs", json=GOOD, headers={"Origin": own, "Sec-Fetch-Site": "same-origin"}).status_code == 201
    assert api.get("/v1/jobs", headers={"Host": "elsewhere.example"}).status_code == 403, "a rebound name reads nothing"


def test_garbage_instead_of_http(server: Served, api: httpx.Client) -> None:
    url = httpx.URL(server.url)
    raw = http.client.HTTPConnection(url.host, url.port or 0, timeout=10)
    raw.putrequest("POST", "/v1/jobs", skip_accept_encoding=True)
    raw.putheader("Content-Length", "banana")
    raw.endheaders()
    assert raw.getresponse().status == 400
    raw.close()
    assert api.get("/healthz").status_code == 200


def test_nothing_above_left_a_traceback(server: Served) -> None:
    assert "Traceback" not in server.log.read_text()
