"""Over HTTP: visitors by cookie, links, and the operator's acts, with the command line as their client."""

from __future__ import annotations

import json

import httpx
import pytest

from serving import Served, calotype

QUICK = {"prompt": "cat", "steps": 1, "seed": 1, "options": {"upscale": False}}


def code_of(client: httpx.Client) -> str:
    answer = client.post("/v1/link-codes")
    assert answer.status_code == 201, answer.text
    return str(answer.json()["code"])


def test_the_page_gives_a_cookie_and_the_api_knows_it(server: Served) -> None:
    with server.client() as tab, server.client() as again, server.client() as stranger:
        answer = tab.get("/")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        assert "set-cookie" not in tab.get("/").headers
        job = tab.post("/v1/jobs", json=QUICK).json()["job_id"]
        again.cookies.update(tab.cookies)
        assert again.get(f"/v1/jobs/{job}").status_code == 200
        assert stranger.get(f"/v1/jobs/{job}").status_code == 404
        stranger.cookies.set("calotype_visitor", "ab" * 16 + "." + "cd" * 16)
        assert stranger.get(f"/v1/jobs/{job}").status_code == 404
        assert "set-cookie" in stranger.get("/").headers  # what we did not sign is replaced


def test_who_is_known_by_address_only_shares_nothing(server: Served) -> None:
    """Others may have the same address: nothing is listed, taken along or erased, but what one knows by its id."""
    with (
        server.client(address="127.0.0.21") as one,
        server.client(address="127.0.0.21") as neighbour,
        server.client(token=server.token) as operator,
    ):
        job = one.post("/v1/jobs", json=QUICK).json()["job_id"]
        paths = [("GET", path) for path in ("/v1/jobs", "/v1/history", "/v1/history?q=cat", "/v1/export")]
        for method, path in [*paths, ("DELETE", "/v1/me")]:
            for client in (one, neighbour):
                answer = client.request(method, path)
                assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_allowed"), path
                assert "open the page once for a cookie" in answer.json()["error"]["message"]
                assert "operator's token" in answer.json()["error"]["message"]
        assert one.get(f"/v1/jobs/{job}").status_code == 200
        assert one.post(f"/v1/jobs/{job}/cancel").status_code == 200
        assert one.put(f"/v1/jobs/{job}/favourite").json()["favourite"] is True
        assert one.post(f"/v1/jobs/{job}/rerun").status_code == 201
        assert operator.get(f"/v1/jobs/{job}").status_code == 200, "nothing was erased"
        neighbour.get("/")
        assert neighbour.get("/v1/jobs").json()["data"] == []
        assert neighbour.get(f"/v1/jobs/{job}").status_code == 404, "with a cookie they are somebody else"
        assert neighbour.request("DELETE", "/v1/me").json()["complete"] is True
        assert one.get(f"/v1/jobs/{job}").status_code == 200


def test_two_visitors_become_one(server: Served) -> None:
    with server.client() as desk, server.client() as phone:
        first = desk.post("/v1/link-codes")  # whoever has no cookie gets one with it
        job = desk.post("/v1/jobs", json=QUICK).json()["job_id"]
        assert phone.get(f"/v1/jobs/{job}").status_code == 404
        answer = phone.post("/v1/link", json={"code": first.json()["code"]})
        assert answer.json() == {"linked": True, "name": "visitor", "accounts": 2}
        assert phone.get(f"/v1/jobs/{job}").status_code == 200
        assert [each["job_id"] for each in phone.get("/v1/jobs").json()["data"]] == [job]
        used = phone.post("/v1/link", json={"code": first.json()["code"]})
        assert (used.status_code, used.json()["error"]["param"]) == (400, "code")


def test_few_codes_may_be_tried(server: Served) -> None:
    with server.client(address="127.0.0.9") as client:
        answers = [client.post("/v1/link", json={"code": "ABCD-EFGH"}).status_code for _ in range(6)]
        assert answers == [400] * 5 + [429]
        assert "tries" in client.post("/v1/link", json={"code": "ABCD-EFGH"}).json()["error"]["message"]


@pytest.mark.parametrize("body", [{}, {"code": 5}, {"code": "?"}])
def test_a_code_that_is_none(server: Served, body: dict[str, object]) -> None:
    with server.client(address="127.0.0.10") as client:
        answer = client.post("/v1/link", json=body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "code")


def test_a_queued_job_tells_its_turn(api: httpx.Client, operator: httpx.Client) -> None:
    api.get("/")
    jobs = [api.post("/v1/jobs", json={**QUICK, "steps": 60}).json()["job_id"] for _ in range(10)]
    found = [api.get(f"/v1/jobs/{job}").json() for job in jobs]
    for each in found:
        assert {"position", "eta_seconds"} <= each.keys()
        assert (each["position"] is None) == (each["status"] != "queued")
    for job in jobs:
        api.post(f"/v1/jobs/{job}/cancel")


def test_people_are_the_operators_business(api: httpx.Client) -> None:
    assert api.get("/v1/people").status_code == 403
    for act in ("show", "role", "ban", "unban", "link-code"):
        answer = api.post(f"/v1/people/{act}", json={"person": "x", "reason": "y", "role": "patron"})
        assert answer.status_code == 403


def test_bad_bodies(operator: httpx.Client) -> None:
    for act, body, field in (
        ("show", {}, "person"),
        ("show", {"person": "nobody"}, "person"),
        ("role", {"person": "x"}, "role"),
        ("role", {"person": "x", "role": "king"}, "role"),
        ("ban", {"person": "x", "reason": 3}, "reason"),
        ("dance", {"person": "x"}, "act"),
    ):
        answer = operator.post(f"/v1/people/{act}", json=body)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)
    assert operator.get("/v1/people", params={"limit": "x"}).json()["error"]["param"] == "limit"


def test_the_command_line_asks_the_server(server: Served) -> None:
    """Which holds the home: a ban is in force at once, and its jobs stop."""

    def ask(*words: str) -> dict[str, object]:
        done = calotype("people", *words, "--json", home=server.home, cwd=server.home.parent)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)  # type: ignore[no-any-return]

    with server.client(address="127.0.0.11") as client:
        code = code_of(client)
        job = client.post("/v1/jobs", json={**QUICK, "steps": 150, "images": 4}).json()["job_id"]
        (key,) = {str(each["key"]) for each in ask("list", "--search", "web:") if each["running"] or each["queued"]}  # type: ignore[union-attr,attr-defined]
        assert ask("role", key, "patron")["role"] == "patron"
        banned = ask("ban", key, "--reason", "too many cats")
        assert banned["ban_reason"] == "too many cats"
        assert client.get(f"/v1/jobs/{job}").json()["status"] == "cancelled"
        refused = client.post("/v1/jobs", json=QUICK)
        assert (refused.status_code, "too many cats" in refused.text) == (403, True)
        with server.client(address="127.0.0.12") as other:
            assert other.post("/v1/link", json={"code": code}).status_code == 403
        assert ask("unban", key)["banned"] is None
        assert client.post("/v1/jobs", json=QUICK).status_code == 201
    failed = calotype("people", "show", "nobody", home=server.home, cwd=server.home.parent)
    assert (failed.returncode, failed.stderr.count("\n")) == (2, 1)
