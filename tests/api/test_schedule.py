"""Scheduled prompts over HTTP, with the command line as a client."""

from __future__ import annotations

import json

import httpx
import pytest

from serving import Served, calotype


def test_the_operator_schedules_and_the_command_line_asks_the_server(server: Served, operator: httpx.Client) -> None:
    added = operator.post("/v1/schedule", json={"cron": "@yearly", "request": {"prompt": "cat"}})
    assert added.status_code == 201, added.text
    number = added.json()["id"]
    ran = calotype("schedule", "add", "0 9 * * 1", "dog", "--json", home=server.home, cwd=server.home.parent)
    assert ran.returncode == 0, ran.stderr
    other = json.loads(ran.stdout)["id"]
    assert {number, other} <= {each["id"] for each in operator.get("/v1/schedule").json()["data"]}
    assert operator.delete(f"/v1/schedule/{number}").json() == {"id": number, "removed": True}
    gone = operator.delete(f"/v1/schedule/{number}")
    assert (gone.status_code, gone.json()["error"]["param"]) == (400, "id")
    ran = calotype("schedule", "remove", str(other), home=server.home, cwd=server.home.parent)
    assert ran.stdout == f"{other}: removed\n"
    ran = calotype("schedule", "add", "0 9 * *", "dog", home=server.home, cwd=server.home.parent)
    assert (ran.returncode, ran.stderr.count("\n")) == (2, 1)
    assert ran.stderr.startswith("error: cron: ")


@pytest.mark.parametrize("call", ["get", "post", "delete"])
def test_nobody_else_may(api: httpx.Client, call: str) -> None:
    body = {"json": {"cron": "@daily", "request": {"prompt": "cat"}}} if call == "post" else {}
    answer = getattr(api, call)("/v1/schedule" + ("/1" if call == "delete" else ""), **body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_allowed")


@pytest.mark.parametrize("number", ["x", "-1", "1.5", "9" * 30, "%00"])
def test_a_number_that_is_none(operator: httpx.Client, number: str) -> None:
    assert operator.delete(f"/v1/schedule/{number}").status_code == 400
