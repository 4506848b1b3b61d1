"""The history over HTTP: one's own and nobody else's; an operator's is everybody's."""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from PIL import Image

from serving import Served

QUICK: dict[str, Any] = {"steps": 1, "seed": 1, "options": {"upscale": False}}


def visitor(server: Served) -> Iterator[httpx.Client]:
    """Somebody new, with a cookie."""
    with server.client() as client:
        client.get("/")
        yield client


anna, bert = pytest.fixture(visitor, name="anna"), pytest.fixture(visitor, name="bert")


@pytest.fixture
def word() -> str:
    """In no other test's prompts."""
    return "w" + secrets.token_hex(6)


def made(client: httpx.Client, prompt: str, **more: Any) -> dict[str, Any]:
    """A finished job."""
    answer = client.post("/v1/jobs", json={**QUICK, "prompt": prompt, **more})
    assert answer.status_code == 201, answer.text
    return ended(client, answer.json()["job_id"])


def ended(client: httpx.Client, job_id: str) -> dict[str, Any]:
    with client.stream("GET", f"/v1/jobs/{job_id}/events") as events:
        list(events.iter_lines())
    job: dict[str, Any] = client.get(f"/v1/jobs/{job_id}").json()
    assert job["status"] == "finished", job
    return job


def found(client: httpx.Client, path: str = "/v1/history", **query: str | int) -> list[str]:
    answer = client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return [job["job_id"] for job in answer.json()["data"]]


def ids(*jobs: dict[str, Any]) -> list[str]:
    return [job["job_id"] for job in jobs]


def key_of(operator: httpx.Client, job: dict[str, Any]) -> str:
    """Whose it is: only the operator is told."""
    answer = operator.get("/v1/history", params={"q": job["request"]["prompt"].split()[-1], "limit": 200}).json()
    (key,) = {each["person"] for each in answer["data"] if each["job_id"] == job["job_id"]}
    return str(key)


def test_a_search_finds_ones_own(anna: httpx.Client, bert: httpx.Client, operator: httpx.Client, word: str) -> None:
    cat, dog = made(anna, f"blue cat {word}"), made(anna, f"red dog {word}", negative_prompt="blue rain")
    his = made(bert, f"blue cat {word}")
    assert found(anna, q=word) == ids(dog, cat)
    assert found(anna, q=f"{word} BLUE") == ids(dog, cat)
    assert found(anna, q=f'"blue cat" {word[:8]}') == ids(cat), "quoted words in their order, the last one unfinished"
    assert found(anna) == ids(dog, cat)
    assert found(bert) == ids(his)
    assert found(operator, q=word) == ids(his, dog, cat)
    assert "person" not in anna.get("/v1/history").json()["data"][0]
    whose = key_of(operator, cat)
    assert whose != key_of(operator, his)
    assert found(operator, q=word, person=whose) == ids(dog, cat)
    assert found(anna, person=whose) == ids(dog, cat)
    foreign = bert.get("/v1/history", params={"person": whose})
    assert (foreign.status_code, foreign.json()["error"]["code"]) == (403, "not_allowed")


def test_pages(anna: httpx.Client, word: str) -> None:
    jobs = [made(anna, f"{word} {k}") for k in range(3)][::-1]
    page = anna.get("/v1/history", params={"q": word, "limit": 2}).json()
    assert (ids(*page["data"]), page["has_more"]) == (ids(*jobs[:2]), True)
    rest = anna.get("/v1/history", params={"q": word, "before": jobs[1]["job_id"]}).json()
    assert (ids(*rest["data"]), rest["has_more"]) == (ids(jobs[2]), False)


def test_every_filter(anna: httpx.Client, word: str) -> None:
    one, other = made(anna, f"{word} one", sampler="heun"), made(anna, f"{word} other", sampler="euler")
    called_off = anna.post("/v1/jobs", json={**QUICK, "prompt": f"{word} third", "steps": 150, "images": 8}).json()
    anna.post(f"/v1/jobs/{called_off['job_id']}/cancel")
    anna.put(f"/v1/jobs/{one['job_id']}/favourite")
    now = datetime.now(UTC)
    today, tomorrow = (f"{now + timedelta(days=days):%Y-%m-%d}" for days in (0, 1))
    every = ids(called_off, other, one)
    for query, expected in (
        ({"sampler": "heun"}, ids(one)), ({"sampler": "nothing"}, []), ({"model": "calotype-emoji"}, every),
        ({"model": "nothing"}, []), ({"guild": "1"}, []), ({"favourite": "true"}, ids(one)),
        ({"favourite": "false"}, ids(called_off, other)), ({"status": "cancelled"}, ids(called_off)),
        ({"status": "finished"}, ids(other, one)), ({"status": "failed"}, []), ({"from": tomorrow}, []),
        ({"to": "2020-01-01"}, []), ({"from": other["created"]}, ids(called_off, other)),
        ({"to": other["created"]}, ids(one)), ({"from": today[:4] + "-01-01", "to": tomorrow}, every),
        ({"sampler": "euler", "status": "finished", "favourite": "false"}, ids(other)),
    ):  # fmt: skip
        for words in ({}, {"q": word}):
            assert found(anna, **query, **words) == expected, query


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("q", "x" * 501), ("person", "x" * 1001), ("guild", "x" * 1001), ("model", "x" * 1001), ("sampler", "\n"),
        ("from", "yesterday"), ("from", ""), ("to", "2026-13-01"), ("to", "9999-12-31"), ("from", "0001-01-01"),
        ("favourite", "yes"), ("favourite", ""), ("status", "done"), ("status", ""), ("limit", "0"), ("limit", "201"),
        ("limit", "x"), ("sort", "new"), ("colour", "blue"),
    ],
)  # fmt: skip
def test_a_bad_filter_is_named(anna: httpx.Client, operator: httpx.Client, name: str, value: str) -> None:
    for client in (anna, operator):
        answer = client.get("/v1/history", params={name: value})
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, name), answer.text


def test_favourites(anna: httpx.Client, bert: httpx.Client, operator: httpx.Client, word: str) -> None:
    job = made(anna, word)
    path = f"/v1/jobs/{job['job_id']}/favourite"
    assert job["favourite"] is False
    assert (bert.put(path).status_code, bert.delete(path).status_code) == (404, 404)
    for call, kept in ((anna.put, True), (anna.put, True), (anna.delete, False), (operator.put, True)):
        assert call(path).json()["favourite"] is kept
        assert anna.get(f"/v1/jobs/{job['job_id']}").json()["favourite"] is kept
    assert found(anna, favourite="true") == ids(job)
    assert found(bert, favourite="true") == []


def test_asking_for_it_again(anna: httpx.Client, bert: httpx.Client, word: str) -> None:
    job = made(anna, word, seed=None)
    path = f"/v1/jobs/{job['job_id']}/rerun"
    answer = anna.post(path)
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/v1/jobs/{answer.json()['job_id']}"
    again = ended(anna, answer.json()["job_id"])
    assert again["job_id"] != job["job_id"]
    assert again["request"] == job["request"]
    assert [each["sha256"] for each in again["pictures"]] == [each["sha256"] for each in job["pictures"]]
    fresh = ended(anna, anna.post(path, json={"new_seed": True}).json()["job_id"])
    assert fresh["request"]["seed"] != job["request"]["seed"]
    assert fresh["pictures"][0]["sha256"] != job["pictures"][0]["sha256"]
    assert bert.post(path).status_code == 404
    for body, field in (({"new_seed": 1}, "new_seed"), ({"seed": 5}, "seed")):
        wrong = anna.post(path, json=body)
        assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, field)
    assert found(anna) == ids(fresh, again, job)


def test_variations(anna: httpx.Client, bert: httpx.Client, operator: httpx.Client, word: str) -> None:
    job = made(anna, word)
    start = {"init_image": job["pictures"][0]["sha256"], "strength": 1.0, "parent": job["job_id"]}
    varied = [made(anna, f"{word} {k}", **start) for k in range(2)]
    path = f"/v1/jobs/{job['job_id']}/children"
    assert found(anna, path) == found(operator, path) == ids(*varied)
    assert found(anna, path, limit=1) == ids(varied[0])
    assert anna.get(path, params={"limit": 1}).json()["has_more"] is True
    assert [each["parent"] for each in anna.get(path).json()["data"]] == [job["job_id"]] * 2
    assert found(anna, f"/v1/jobs/{varied[0]['job_id']}/children") == []
    assert bert.get(path).status_code == 404
    foreign = bert.post("/v1/jobs", json={**QUICK, "prompt": word, "parent": job["job_id"]})
    assert (foreign.status_code, foreign.json()["error"]["param"]) == (400, "parent")


def picture() -> bytes:
    data = io.BytesIO()
    Image.frombytes("RGB", (64, 64), os.urandom(3 * 64 * 64)).save(data, "PNG")
    return data.getvalue()


def taken_along(client: httpx.Client, **query: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    answer = client.get("/v1/export", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    history: dict[str, Any] = json.loads(files.pop("history.json"))
    return history, files


def test_an_export(anna: httpx.Client, bert: httpx.Client, operator: httpx.Client, word: str) -> None:
    upload = anna.post("/v1/pictures", content=picture()).json()["sha256"]
    job = made(anna, f"Blue Cat! {word}", images=2)
    varied = made(anna, f"{word} varied", init_image=upload)
    his = made(bert, f"{word} his")
    whose = key_of(operator, job)

    history, files = taken_along(anna)
    assert ids(*history["jobs"]) == ids(varied, job)
    assert history["person"]["key"] == whose
    assert (history["format"], history["missing"]) == (1, [])
    (second, first) = history["jobs"]
    assert first["request"] == job["request"]
    names = [each["file"] for each in first["pictures"]]
    assert all(f"blue-cat-{word}" in name for name in names)
    for each in (*first["pictures"], *second["pictures"]):
        assert hashlib.sha256(files.pop(each["file"])).hexdigest() == each["sha256"]
    assert second["init_image_file"] == f"uploads/{upload}.png"
    assert hashlib.sha256(files.pop(f"uploads/{upload}.png")).hexdigest() == upload
    assert files == {}
    assert "digest" not in json.dumps(history)

    theirs, files = taken_along(bert)
    assert ids(*theirs["jobs"]) == ids(his)
    assert len(files) == 1
    assert whose not in json.dumps(theirs)
    assert bert.get("/v1/export", params={"person": whose}).status_code == 403
    assert ids(*taken_along(operator, person=whose)[0]["jobs"]) == ids(varied, job)
    everybody = ids(*taken_along(operator)[0]["jobs"])
    assert set(ids(job, varied, his)) <= set(everybody)


def grow_old(server: Served, *sha256s: str) -> None:
    """As if they had not been put a moment ago: else erasing waits for them."""
    for sha256 in sha256s:
        os.utime(server.home / "images" / sha256[:2] / f"{sha256}.png", (time.time() - 3600,) * 2)


def test_erasing_oneself(
    server: Served, anna: httpx.Client, bert: httpx.Client, operator: httpx.Client, word: str
) -> None:
    upload = anna.post("/v1/pictures", content=picture()).json()["sha256"]
    both = secrets.randbelow(2**32)  # the same picture of both
    job, own = made(anna, f"{word} a", seed=both), made(anna, word, seed=both + 1)
    anna.post("/v1/link-codes")
    waiting = anna.post("/v1/jobs", json={**QUICK, "prompt": word, "steps": 150, "images": 8}).json()
    his = made(bert, f"{word} a", seed=both)
    assert his["pictures"][0]["sha256"] == job["pictures"][0]["sha256"]
    whose, before = key_of(operator, own), taken_along(bert)
    grow_old(server, upload, own["pictures"][0]["sha256"])

    assert bert.delete("/v1/me", params={"person": whose}).status_code == 403
    missing = operator.delete("/v1/me")
    assert (missing.status_code, missing.json()["error"]["param"]) == (400, "person")
    nobody = operator.delete("/v1/me", params={"person": "web:nobody"})
    assert (nobody.status_code, nobody.json()["error"]["param"]) == (400, "person")

    answer = anna.delete("/v1/me")
    assert answer.status_code == 200, answer.text
    report = answer.json()
    assert (report["person"], report["complete"]) == (whose, True)
    assert {"jobs": 3, "uploads": 1, "link_codes": 1}.items() <= report["removed"]["rows"].items()
    assert report["removed"]["files"] == 2
    assert (report["kept"]["shared_files"], report["kept"]["waiting_files"]) == (1, 0)
    assert {table: count for table, count in report["left"].items() if count} == {
        **({"persons": 1} if report["kept"]["keys"] else {}),
        "audit": report["left"]["audit"],
    }
    for gone in ids(job, own, waiting):
        assert operator.get(f"/v1/jobs/{gone}").status_code == 404
        assert anna.get(f"/v1/jobs/{gone}").status_code == 404
    assert found(anna) == []
    assert found(operator, q=word) == ids(his)
    for sha256 in (upload, own["pictures"][0]["sha256"]):
        assert not (server.home / "images" / sha256[:2] / f"{sha256}.png").exists()
    history, files = taken_along(bert)
    assert (history["jobs"], files) == (before[0]["jobs"], before[1])
    assert made(anna, word), "whoever is erased may begin anew"
    erased = operator.get("/v1/moderation/audit", params={"subject": whose}).json()["data"]
    assert [each["action"] for each in erased] == ["erase"]


def test_the_operator_erases_somebody(server: Served, anna: httpx.Client, operator: httpx.Client, word: str) -> None:
    job = made(anna, word)
    whose = key_of(operator, job)
    grow_old(server, job["pictures"][0]["sha256"])
    report = operator.delete("/v1/me", params={"person": whose}).json()
    assert (report["person"], report["complete"]) == (whose, True)
    assert found(operator, q=word) == found(anna) == []
