"""Jobs over HTTP: queued, followed, fetched, cancelled; each person sees their own."""

from __future__ import annotations

import base64
import concurrent.futures
import hashlib
from typing import Any

import httpx
import pytest

from serving import Served, server_sent

WISH = {"prompt": "panda with a top hat", "seed": 5, "steps": 2}


def _submit(client: httpx.Client, **more: Any) -> dict[str, Any]:
    answer = client.post("/v1/jobs", json={**WISH, **more})
    assert answer.status_code == 201, answer.text
    job: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['job_id']}"
    return job


def _events(client: httpx.Client, job_id: str, **params: str) -> list[tuple[str, dict[str, Any]]]:
    with client.stream("GET", f"/v1/jobs/{job_id}/events", params=params) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        return server_sent(list(answer.iter_lines()))


def test_the_life_of_a_job(api: httpx.Client) -> None:
    job = _submit(api, images=2)
    assert job["request"]["sampler"] == "euler_ancestral"
    job_id = job["job_id"]
    events = _events(api, job_id)
    names = [name for name, _ in events]
    assert names[-1] == "finished"
    assert set(names[:-1]) <= {"queued", "started", "stepped"}
    assert all(data["job_id"] == job_id for _, data in events)
    pictures = events[-1][1]["pictures"]
    assert [picture["seed"] for picture in pictures] == [5, 6]
    after = api.get(f"/v1/jobs/{job_id}").json()
    assert after["status"] == "finished"
    assert after["pictures"] == pictures
    for picture in pictures:
        answer = api.get(f"/v1/jobs/{job_id}/pictures/{picture['index']}")
        assert answer.headers["content-type"] == "image/png"
        assert {"private", "immutable"} <= set(answer.headers["cache-control"].replace(",", " ").split())
        assert answer.headers["etag"] == f'"{picture["sha256"]}"'
        assert hashlib.sha256(answer.content).hexdigest() == picture["sha256"]
    # whoever looks late sees how it ended
    assert [name for name, _ in _events(api, job_id)] == ["finished"]
    assert api.post(f"/v1/jobs/{job_id}/cancel").json()["status"] == "finished"


def test_previews_only_if_asked_for(api: httpx.Client) -> None:
    job = _submit(api, steps=60)
    with_previews = _events(api, job["job_id"], previews="1")
    previews = [data["preview"] for name, data in with_previews if "preview" in data]
    assert previews
    assert base64.b64decode(previews[0]).startswith(b"\xff\xd8")
    assert not [data for _, data in _events(api, _submit(api, steps=20)["job_id"]) if "preview" in data]


def test_cancel(api: httpx.Client) -> None:
    job = _submit(api, steps=150, images=8)
    with api.stream("GET", f"/v1/jobs/{job['job_id']}/events") as answer:
        lines = answer.iter_lines()
        next(lines)
        assert api.post(f"/v1/jobs/{job['job_id']}/cancel").json()["status"] == "cancelled"
        assert "event: cancelled" in list(lines)
    missing = api.get(f"/v1/jobs/{job['job_id']}/pictures/0")
    assert missing.status_code == 404
    assert "cancelled" in missing.json()["error"]["message"]


def test_pause_and_resume(api: httpx.Client, other: httpx.Client, operator: httpx.Client) -> None:
    wish = {"steps": 100, "sampler": "euler_ancestral"}
    plain = _events(api, _submit(api, **wish)["job_id"])[-1][1]["pictures"]
    job_id = _submit(api, **wish)["job_id"]
    address = f"/v1/jobs/{job_id}"
    with api.stream("GET", f"{address}/events") as answer:
        lines = answer.iter_lines()
        assert "event: stepped" in lines  # reads so far
        assert other.post(f"{address}/pause").status_code == 404
        paused = api.post(f"{address}/pause").json()
        assert (paused["status"], paused["paused"]) == ("running", True)
        assert "event: paused" in lines
        assert api.get(address).json()["paused"] is True
        assert operator.post(f"{address}/resume").json()["paused"] is False
        rest = list(lines)
        assert "event: started" in rest
        assert "event: finished" in rest
    done = api.get(address).json()
    assert [p["sha256"] for p in done["pictures"]] == [p["sha256"] for p in plain]
    for act in ("pause", "resume"):
        assert api.post(f"{address}/{act}").json()["status"] == "finished"
        assert api.post(f"/v1/jobs/nothing/{act}").status_code == 404


def test_a_key_makes_it_safe_to_repeat(api: httpx.Client, other: httpx.Client) -> None:
    def submit(client: httpx.Client) -> str:
        answer = client.post("/v1/jobs", json=WISH, headers={"Idempotency-Key": "k" * 200})
        assert answer.status_code == 201
        job_id: str = answer.json()["job_id"]
        return job_id

    first = submit(api)
    assert submit(api) == first
    assert submit(other) != first
    changed = api.post("/v1/jobs", json={**WISH, "prompt": "another"}, headers={"Idempotency-Key": "k" * 200})
    assert changed.status_code == 400
    assert "used before" in changed.json()["error"]["message"]
    for key in ("", "k" * 201):
        answer = api.post("/v1/jobs", json=WISH, headers={"Idempotency-Key": key})
        assert answer.status_code == 400
        assert answer.json()["error"]["param"] == "Idempotency-Key"


def test_history_in_pages(other: httpx.Client) -> None:
    other.get("/")  # for a cookie
    made = [_submit(other, seed=seed)["job_id"] for seed in range(3)][::-1]
    page = other.get("/v1/jobs", params={"limit": 2}).json()
    assert [job["job_id"] for job in page["data"]] == made[:2]
    assert page["has_more"] is True
    rest = other.get("/v1/jobs", params={"limit": 200, "before": made[1]}).json()
    assert rest["data"][0]["job_id"] == made[2]
    assert rest["has_more"] is False


@pytest.mark.parametrize("limit", ["0", "201", "-1", "1.5", "x", "", "٣", "9" * 5000])
def test_history_refuses_other_limits(api: httpx.Client, limit: str) -> None:
    answer = api.get("/v1/jobs", params={"limit": limit})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "limit"


def test_a_foreign_job_is_an_unknown_job(api: httpx.Client, other: httpx.Client, operator: httpx.Client) -> None:
    job_id = _submit(api)["job_id"]
    _events(api, job_id)
    unknown = "0" * len(job_id)
    paths = ["/v1/jobs/{}", "/v1/jobs/{}/events", "/v1/jobs/{}/pictures/0"]
    for method, path in [*(("GET", path) for path in paths), ("POST", "/v1/jobs/{}/cancel")]:
        foreign = other.request(method, path.format(job_id))
        nobodys = other.request(method, path.format(unknown))
        assert foreign.status_code == nobodys.status_code == 404
        assert foreign.text.replace(job_id, unknown) == nobodys.text
        assert foreign.json()["error"]["code"] == "not_found"
        assert operator.request(method, path.format(job_id)).status_code == 200
    other.get("/")  # for a cookie
    assert job_id not in other.get("/v1/jobs", params={"limit": 200}).text
    assert job_id in operator.get("/v1/jobs", params={"limit": 200}).text


def test_a_foreign_token_and_a_forged_address_change_nothing(server: Served, api: httpx.Client) -> None:
    job_id = _submit(api)["job_id"]
    with server.client(token="sk-somebody", address="127.0.0.3") as stranger:
        headers = {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "127.0.0.1"}
        assert stranger.get(f"/v1/jobs/{job_id}", headers=headers).status_code == 404
    with server.client(token="sk-anything") as same:
        assert same.get(f"/v1/jobs/{job_id}").status_code == 200


def test_two_people_at_once(api: httpx.Client, other: httpx.Client) -> None:
    def ask(client: httpx.Client, seed: int) -> str:
        body = client.post("/v1/images/generations", json={"prompt": "rocket", "steps": 20, "seed": seed}).json()
        sha256: str = body["data"][0]["sha256"]
        return sha256

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        both = list(pool.map(ask, [api, other, api, other], [1, 1, 2, 2]))
    assert both[0] == both[1]
    assert both[2] == both[3]
    assert both[0] != both[2]


def test_models_are_the_operators(api: httpx.Client, operator: httpx.Client) -> None:
    refused = api.post("/v1/models", json={"folder": "/"})
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "not_allowed"
    for folder in ("/no/such/folder", 3, None, "a\0b"):
        answer = operator.post("/v1/models", json={"folder": folder})
        assert answer.status_code == 400, answer.text
        assert answer.json()["error"]["param"] in ("model", "folder")


def test_the_catalog_tells_all_a_client_needs(api: httpx.Client) -> None:
    found = api.get("/v1/catalog").json()
    assert [model["id"] for model in found["models"]] == ["calotype-emoji"]
    assert found["models"][0]["sizes"] == ["256x256", "64x64"]
    assert {"euler", "dpmpp_2m", "heun"} <= {each["name"] for each in found["samplers"]}
    assert {"karras", "normal"} <= {each["name"] for each in found["schedules"]}
    ddim, lcm = (next(each for each in found["samplers"] if each["name"] == name) for name in ("ddim", "lcm"))
    assert (ddim["aliases"], ddim["distilled"], lcm["distilled"]) == (["DDIMScheduler"], False, True)
    normal = next(each for each in found["schedules"] if each["name"] == "normal")
    assert normal["aliases"] == ["linspace"]
    upscale = next(each for each in found["post_processors"] if each["name"] == "upscale")
    assert upscale["label"] == "Upscale"
    assert upscale["parameters"]["properties"]["factor"]["enum"] == [2, 4]
    assert found["limits"]["steps"] == [1, 150]
