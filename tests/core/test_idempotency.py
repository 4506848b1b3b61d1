"""When a key's job is the one that is asked for."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from calotype.catalog import Catalog
from calotype.errors import BadRequest
from calotype.idempotency import KEY_LIMIT, ClientKey
from calotype.job import Job, JobStatus
from calotype.request import Request

ASKED = Request(prompt="cat")


@pytest.fixture
def job(catalog: Catalog) -> Job:
    return Job("j1", "test:anna", catalog.resolve(ASKED), JobStatus.QUEUED, datetime.now(UTC), parent="j0")


def test_the_same_request_however_it_is_said(catalog: Catalog, job: Job) -> None:
    key = ClientKey("k")
    written_out = [{}, {"seed": job.request.seed}, {"steps": job.request.steps}, {"options": {"upscale": True}}]
    for said in written_out:
        asked = Request.parse({"prompt": "cat", **said})
        key.check(job, asked, catalog.resolve(asked), "j0")


def test_another_request(catalog: Catalog, job: Job) -> None:
    key = ClientKey("k", "Idempotency-Key")
    seed = (job.request.seed or 0) + 1
    for said in ({"seed": seed}, {"prompt": "owl"}, {"steps": 3}, {"options": {"upscale": False}}, {"images": 2}):
        asked = Request.parse({"prompt": "cat", **said})
        with pytest.raises(BadRequest, match=r"^Idempotency-Key: was used before, for another request \(job j1\)"):
            key.check(job, asked, catalog.resolve(asked), "j0")
    for parent in (None, "j1"):
        with pytest.raises(BadRequest, match="used before"):
            key.check(job, ASKED, catalog.resolve(ASKED), parent)


@pytest.mark.parametrize("text", ["", "k" * (KEY_LIMIT + 1), "\x00", "a\ud800"])
def test_no_key(text: str) -> None:
    with pytest.raises(BadRequest, match="key: "):
        ClientKey(text)
