"""One key is one request, on every route that submits, however the body is sent."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

WISH: dict[str, Any] = {"prompt": "panda with a top hat", "steps": 1, "options": {"upscale": False}}


@pytest.fixture
def key() -> dict[str, str]:
    return {"Idempotency-Key": secrets.token_hex(8)}


@pytest.fixture
def api(api: httpx.Client) -> httpx.Client:
    api.get("/")  # for a cookie: somebody new
    return api


def job_of(answer: httpx.Response, status: int = 201) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["job_id"])


def refused(answer: httpx.Response, job_id: str) -> None:
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["param"] == "Idempotency-Key"
    assert f"was used before, for another request (job {job_id})" in error["message"]


def in_pieces(body: dict[str, Any]) -> Iterator[bytes]:
    """httpx sends it chunked, without a Content-Length."""
    for byte in json.dumps(body).encode():
        yield bytes([byte])


def test_an_open_seed_is_the_same_request(api: httpx.Client, key: dict[str, str]) -> None:
    job_id = job_of(api.post("/v1/jobs", json=WISH, headers=key))
    assert job_of(api.post("/v1/jobs", json=WISH, headers=key)) == job_id
    assert job_of(api.post("/v1/jobs", content=in_pieces(WISH), headers=key)) == job_id
    drawn = api.get(f"/v1/jobs/{job_id}").json()["request"]["seed"]
    assert job_of(api.post("/v1/jobs", json={**WISH, "seed": drawn}, headers=key)) == job_id
    for other in ({"seed": drawn + 1}, {"prompt": "owl"}, {"steps": 2}, {"images": 2}, {"parent": job_id}):
        refused(api.post("/v1/jobs", json={**WISH, **other}, headers=key), job_id)
    assert len(api.get("/v1/jobs").json()["data"]) == 1


def test_pictures_that_are_waited_for(api: httpx.Client, key: dict[str, str]) -> None:
    def ask(**more: Any) -> httpx.Response:
        return api.post("/v1/images/generations", json={**WISH, **more}, headers=key)

    first, again = ask(), ask()
    assert first.status_code == 200, first.text
    assert job_of(again, 200) == job_of(first, 200)
    assert again.json()["data"] == first.json()["data"]
    assert ask(response_format="url").json()["data"][0]["sha256"] == first.json()["data"][0]["sha256"]
    refused(ask(prompt="owl"), job_of(first, 200))
    assert job_of(api.post("/v1/jobs", json=WISH, headers=key)) == job_of(first, 200), "a key is one on all routes"


def test_who_goes_away_may_ask_again(api: httpx.Client, key: dict[str, str]) -> None:
    wish = {**WISH, "steps": 100, "n": 4}
    with pytest.raises(httpx.ReadTimeout):
        api.post("/v1/images/generations", json=wish, headers=key, timeout=httpx.Timeout(30, read=1))
    answer = api.post("/v1/images/generations", json=wish, headers=key)
    assert answer.status_code == 200, answer.text
    assert [each["job_id"] for each in api.get("/v1/jobs").json()["data"]] == [answer.json()["job_id"]]


@pytest.mark.parametrize("chunked", [False, True])
def test_asking_for_a_job_once_more(api: httpx.Client, key: dict[str, str], chunked: bool) -> None:
    def rerun(job_id: str, **body: Any) -> httpx.Response:
        sent: dict[str, Any] = {"content": in_pieces(body)} if chunked else {"json": body}
        return api.post(f"/v1/jobs/{job_id}/rerun", headers=key, **sent)

    one = job_of(api.post("/v1/jobs", json={**WISH, "seed": 5}))
    other = job_of(api.post("/v1/jobs", json={**WISH, "seed": 6}))
    job_id = job_of(rerun(one, new_seed=True))
    assert job_of(rerun(one, new_seed=True)) == job_id
    assert api.get(f"/v1/jobs/{job_id}").json()["request"]["seed"] not in (5, 6)
    refused(rerun(one, new_seed=False), job_id)
    refused(rerun(other), job_id)
    answer = rerun(one, new_sead=True)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "new_sead")
    refused(api.post(f"/v1/jobs/{other}/rerun", headers=key), job_id)
    assert len(api.get("/v1/jobs").json()["data"]) == 3


def test_another_persons_key_is_another_key(api: httpx.Client, other: httpx.Client, key: dict[str, str]) -> None:
    mine = job_of(api.post("/v1/jobs", json=WISH, headers=key))
    assert job_of(other.post("/v1/jobs", json={**WISH, "prompt": "owl"}, headers=key)) != mine
