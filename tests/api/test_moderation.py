"""What the operator blocks over HTTP; nobody else may even look."""

from __future__ import annotations

import hashlib
from typing import Any

import httpx
import pytest

WISH = {"seed": 77, "steps": 2, "options": {"upscale": False}}


def data(answer: httpx.Response, status: int = 200) -> list[dict[str, Any]]:
    assert answer.status_code == status, answer.text
    assert answer.json()["object"] == "list"
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def problem(answer: httpx.Response, status: int = 400) -> tuple[str, str]:
    assert answer.status_code == status, answer.text
    (found,) = answer.json()["error"]["problems"]
    return found["field"], found["message"]


def test_words(api: httpx.Client, operator: httpx.Client) -> None:
    answer = operator.post("/v1/moderation/words", json={"word": "Marzipan Pig"})
    assert (answer.status_code, answer.json()) == (201, {"word": "Marzipan Pig", "new": True})
    assert operator.post("/v1/moderation/words", json={"word": "marzipan  pig"}).json()["new"] is False
    assert [word["phrase"] for word in data(operator.get("/v1/moderation/words"))] == ["marzipan pig"]
    refused = problem(api.post("/v1/jobs", json={**WISH, "prompt": "a marzipan-pig"}))
    assert refused == ("prompt", "holds a word that this service does not allow; please reword it")
    assert "marzipan" not in str(refused)
    generated = api.post("/v1/images/generations", json={"prompt": "a marzipan pig"})
    assert problem(generated)[0] == "prompt"
    assert operator.post("/v1/moderation/words/remove", json={"word": "Marzipan pig"}).status_code == 200
    assert api.post("/v1/jobs", json={**WISH, "prompt": "a marzipan pig"}).status_code == 201
    entries = data(operator.get("/v1/moderation/audit", params={"subject": "marzipan pig"}))
    assert [each["action"] for each in entries] == ["unblock_word", "block_word"]
    (refusal, *_) = data(operator.get("/v1/moderation/audit", params={"limit": 2, "before": entries[0]["id"]}))
    assert refusal["actor"] == refusal["subject"] != "operator"
    assert (refusal["action"], refusal["details"]) == ("refuse_prompt", {"rule": "blocked word: marzipan pig"})


def test_a_picture_of_a_job(api: httpx.Client, operator: httpx.Client) -> None:
    job = api.post("/v1/jobs", json={**WISH, "prompt": "penguin"}).json()
    with api.stream("GET", f"/v1/jobs/{job['job_id']}/events") as events:
        list(events.iter_lines())
    path = f"/v1/jobs/{job['job_id']}/pictures/0"
    png = api.get(path).content
    wish = {"job_id": job["job_id"], "index": 0, "reason": "unwanted"}
    (blocked,) = data(operator.post("/v1/moderation/pictures", json=wish), 201)
    assert (blocked["reason"], blocked["added_by"]) == ("unwanted", "operator")
    assert blocked in data(operator.get("/v1/moderation/pictures"))
    gone = api.get(path)
    assert gone.status_code == 404 and "is gone" in gone.json()["error"]["message"]
    (picture,) = api.get(f"/v1/jobs/{job['job_id']}").json()["pictures"]
    assert picture["notes"][-1] == "it was removed by the operator"
    assert api.get(f"/page/pictures/{hashlib.sha256(png).hexdigest()}.png").status_code == 404
    said = problem(api.post("/v1/pictures", content=png))
    assert said == ("picture", "is too much like one that this service does not allow")
    again = api.post("/v1/images/generations", json={**WISH, "prompt": "penguin"})
    assert again.status_code == 500
    assert "the picture was not given out: is too much like one" in again.json()["error"]["message"]
    assert operator.post("/v1/moderation/pictures/remove", json={"hash": blocked["hash"]}).status_code == 200
    assert api.post("/v1/pictures", content=png).status_code == 201


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("words", {}, "word"), ("words", {"word": 3}, "word"), ("words", {"word": "..."}, "word"),
        ("words/remove", {"word": "never"}, "word"), ("pictures", {}, "job_id"),
        ("pictures", {"job_id": "x", "index": "0"}, "index"), ("pictures", {"job_id": "x", "index": True}, "index"),
        ("pictures", {"hash": "f"}, "hash"), ("pictures", {"hash": "f" * 16, "sha256s": "x"}, "sha256s"),
        ("pictures", {"hash": "f" * 16, "reason": 1}, "reason"), ("pictures/remove", {"hash": "f"}, "hash"),
    ],
)  # fmt: skip
def test_bad_input(operator: httpx.Client, path: str, body: dict[str, Any], field: str) -> None:
    before = operator.get("/v1/moderation/audit").json()
    assert problem(operator.post(f"/v1/moderation/{path}", json=body))[0] == field
    assert operator.get("/v1/moderation/audit").json() == before


def test_an_unknown_job_and_bad_numbers(operator: httpx.Client) -> None:
    assert problem(operator.post("/v1/moderation/pictures", json={"job_id": "none"}), 404)[0] == "job"
    for query in ({"limit": "0"}, {"limit": "1001"}, {"limit": "x"}, {"before": "-1"}):
        assert problem(operator.get("/v1/moderation/audit", params=query))[0] == next(iter(query))


@pytest.mark.parametrize("path", ["words", "pictures", "audit"])
def test_nobody_else_may_look(api: httpx.Client, path: str) -> None:
    answer = api.get(f"/v1/moderation/{path}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_allowed")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("words", {"word": "cat"}), ("words/remove", {"word": "cat"}), ("pictures", {"hash": "f" * 16}),
        ("pictures", {"job_id": "x"}), ("pictures/remove", {"hash": "f" * 16}),
    ],
)  # fmt: skip
def test_nobody_else_may_change_anything(
    api: httpx.Client, operator: httpx.Client, path: str, body: dict[str, str]
) -> None:
    before = operator.get("/v1/moderation/audit").json()
    assert api.post(f"/v1/moderation/{path}", json=body).status_code == 403
    assert operator.get("/v1/moderation/audit").json() == before
