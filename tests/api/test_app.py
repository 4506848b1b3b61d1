"""The application over a studio that misbehaves: what its clients are told, and what only the log is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from calotype.catalog import Catalog
from calotype.config import Settings
from calotype.errors import DatabaseError
from calotype.job import Job, JobStatus
from calotype.person import OPERATOR, Person
from calotype.request import Request
from calotype_api.app import create_app
from calotype_api.door import door_of_app

JOB = Job("j1", "api:127.0.0.1", Request(prompt="cat"), JobStatus.FAILED, datetime.now(UTC), error="out of memory")
OPERATORS = {"Authorization": "Bearer the token"}


def _app(catalog: Catalog, **studio: Any) -> FastAPI:
    async def submit(*_: object, **__: object) -> Job:
        return JOB

    known = {"catalog": catalog, "ready": True, "problem": None, "held": None, "submit": submit, **studio}
    return create_app(SimpleNamespace(**known), Settings(), "the token")  # type: ignore[arg-type]


def _ask(app: FastAPI, use: Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]) -> httpx.Response:
    async def asked() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return await use(client)

    return asyncio.run(asked())


def _raises(error: BaseException) -> Callable[..., Awaitable[Any]]:
    async def raised(*_: object, **__: object) -> Any:
        raise error

    return raised


def test_a_failed_job_is_500_with_its_reason_and_not_repeated(catalog: Catalog) -> None:
    async def wait(*_: object) -> Job:
        return JOB

    answer = _ask(_app(catalog, wait=wait), lambda c: c.post("/v1/images/generations", json={"prompt": "cat"}))
    assert answer.status_code == 500
    assert answer.headers["x-should-retry"] == "false"
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("server_error", "job_failed")
    assert "out of memory" in error["message"]


def test_a_job_that_somebody_cancelled(catalog: Catalog) -> None:
    async def wait(*_: object) -> Job:
        return replace(JOB, status=JobStatus.CANCELLED, error=None)

    answer = _ask(_app(catalog, wait=wait), lambda c: c.post("/v1/images/generations", json={"prompt": "cat"}))
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "job_cancelled"


def test_a_fault_of_ours_is_a_reference(catalog: Catalog, caplog: pytest.LogCaptureFixture) -> None:
    app = _app(catalog, job=_raises(ZeroDivisionError("secret detail")))
    with caplog.at_level(logging.ERROR):
        answer = _ask(app, lambda c: c.get("/v1/jobs/x"))
    assert answer.status_code == 500
    error = answer.json()["error"]
    reference = error["message"].rpartition(" ")[2]
    assert len(reference) == 8
    assert "secret" not in answer.text
    assert reference in caplog.text
    assert "ZeroDivisionError: secret detail" in caplog.text


def test_a_database_that_fails_is_503(catalog: Catalog) -> None:
    app = _app(catalog, job=_raises(DatabaseError("database: the disk is full")))
    answer = _ask(app, lambda c: c.get("/v1/jobs/x", headers=OPERATORS))
    assert answer.status_code == 503
    assert answer.json()["error"]["message"] == "database: the disk is full"
    answer = _ask(app, lambda c: c.get("/v1/jobs/x"))
    assert (answer.status_code, "disk" in answer.text) == (503, False)


def test_loading_and_failed_are_told_apart(catalog: Catalog) -> None:
    loading = _ask(_app(catalog, ready=False), lambda c: c.get("/readyz"))
    assert (loading.status_code, loading.json()["state"]) == (503, "loading")
    failed = _ask(_app(catalog, ready=False, problem="no weights"), lambda c: c.get("/readyz", headers=OPERATORS))
    assert (failed.status_code, failed.json()["state"], failed.json()["reason"]) == (503, "failed", "no weights")
    held = _ask(_app(catalog, held="The disk is full."), lambda c: c.get("/readyz"))
    assert (held.status_code, held.json()["state"], held.json()["reason"]) == (503, "held", "The disk is full.")
    both = _ask(_app(catalog, ready=False, problem="no weights", held="The disk is full."), lambda c: c.get("/readyz"))
    assert both.json()["state"] == "failed"
    assert _ask(_app(catalog, ready=False), lambda c: c.get("/healthz")).status_code == 200


def test_who_waits_at_a_stop_is_told_that_the_job_is_kept(catalog: Catalog) -> None:
    async def forever(*_: object) -> Job:
        await asyncio.Event().wait()
        raise AssertionError

    async def nobody_cancels(*_: object) -> None:
        raise AssertionError("cancelled")

    app = _app(catalog, wait=forever, cancel=nobody_cancels)

    async def use(client: httpx.AsyncClient) -> httpx.Response:
        asking = asyncio.create_task(client.post("/v1/images/generations", json={"prompt": "cat"}))
        await asyncio.sleep(0.05)
        assert not asking.done()
        door_of_app(app).stopping.set()
        return await asking

    answer = _ask(app, use)
    assert answer.status_code == 503
    assert "j1 is kept" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("header", "operator"),
    [
        ("Bearer the token", True),
        ("bearer the token", True),
        ("Bearer  the token ", True),
        ("Bearer the tokens", False),
        ("Bearer ", False),
        ("Basic the token", False),
        ("the token", False),
        ("Bearer t\u00e9", False),
    ],
)
def test_who_is_the_operator(catalog: Catalog, header: str, operator: bool) -> None:
    seen: list[Person] = []

    async def history(person: Person, **_: object) -> list[Job]:
        seen.append(person)
        return []

    headers = {"Authorization": header.encode()}
    assert _ask(_app(catalog, history=history), lambda c: c.get("/v1/jobs", headers=headers)).status_code == 200
    (person,) = seen
    assert person == OPERATOR if operator else person.shared
    assert "127.0.0.1" not in str(person)
