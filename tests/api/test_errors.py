"""What only the operator can mend: visitors get a reference, the operator the reason, and the log both."""

from __future__ import annotations

import io
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from calotype.checkpoint import EMBEDDED
from calotype.engine.watchdog import said
from serving import Served, server_sent, until


@pytest.fixture
def png() -> bytes:
    data = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(data, "PNG")
    return data.getvalue()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One of our own: it is broken here and there."""
    served = Served(tmp_path_factory.mktemp("broken") / "home")
    served.wait_ready()
    yield served
    served.process.kill()
    served.process.wait()


def unavailable(answer: httpx.Response) -> str:
    assert answer.status_code == 503, answer.text
    error = answer.json()["error"]
    assert (error["code"], error["type"], error["problems"]) == ("unavailable", "server_error", [])
    assert answer.headers["x-should-retry"] == "false"
    return str(error["message"])


def check(server: Served, visitor: httpx.Response, operator: httpx.Response, reason: str) -> None:
    """The visitor's reference leads to the reason that the operator is told."""
    message = unavailable(visitor)
    assert str(server.home) not in visitor.text
    found = re.search(r"in the log under ([0-9a-f]{8})$", message)
    assert found, message
    (line,) = [each for each in server.log.read_text().splitlines() if f"reference {found[1]}: " in each]
    assert reason in line
    assert reason in unavailable(operator)


def test_a_store_that_cannot_be_written(server: Served, api: httpx.Client, operator: httpx.Client, png: bytes) -> None:
    images = server.home / "images"
    away = images.rename(images.with_name("images-away"))
    try:
        images.write_bytes(b"")  # no folder any more
        answers = [client.post("/v1/pictures", content=png) for client in (api, operator)]
    finally:
        images.unlink(missing_ok=True)
        away.rename(images)
    check(server, *answers, reason=f"image store: {images}: ")
    assert api.post("/v1/pictures", content=png).status_code == 201


def test_a_database_that_cannot_be_read(server: Served, api: httpx.Client, operator: httpx.Client) -> None:
    file = server.home / "calotype.db"
    other = sqlite3.connect(file, timeout=30)
    code = api.post("/v1/link-codes").json()["code"]
    try:
        other.execute("ALTER TABLE accounts RENAME TO away")
        job = "0" * 32
        answers = [client.post("/v1/jobs", json={"prompt": "cat", "parent": job}) for client in (api, operator)]
        pressed = api.post("/v1/link", json={"code": code})
    finally:
        other.execute("ALTER TABLE away RENAME TO accounts")
        other.close()
    check(server, *answers, reason=f"database: {file}: no such table")
    assert str(file) not in unavailable(pressed)
    assert api.post("/v1/jobs", json={"prompt": "cat", "steps": 1}).status_code == 201


def test_a_model_folder_that_the_operator_offers(operator: httpx.Client, server: Served, tmp_path: Path) -> None:
    answer = operator.post("/v1/models", json={"folder": str(tmp_path)})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "model"
    assert str(tmp_path) in answer.json()["error"]["message"]
    same = shutil.copytree(EMBEDDED, tmp_path / "same")  # its card names it as the embedded one is named
    answer = operator.post("/v1/models", json={"folder": str(same)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")
    assert "is taken by" in answer.json()["error"]["message"]


def test_a_job_whose_model_is_damaged(server: Served, api: httpx.Client, operator: httpx.Client) -> None:
    folder = shutil.copytree(EMBEDDED, server.home.parent / "damaged")
    (folder / "calotype.json").unlink()
    assert operator.post("/v1/models", json={"folder": str(folder)}).status_code == 201
    weights = next(folder.glob("unet/*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:1000])
    job_id = api.post("/v1/jobs", json={"prompt": "cat", "steps": 1, "model": "damaged"}).json()["job_id"]
    with api.stream("GET", f"/v1/jobs/{job_id}/events") as events:
        (name, data) = server_sent(list(events.iter_lines()))[-1]
    said = "the model damaged cannot be used; the operator finds the reason in the log under the job's id"
    assert (name, data["reason"]) == ("failed", said)
    assert api.get(f"/v1/jobs/{job_id}").json()["error"] == said
    until(lambda: f"job {job_id} failed: " in server.log.read_text(), "the line in the log")
    assert str(folder) in server.log.read_text()


def test_a_plugin_that_misses_a_file_does_not_say_where() -> None:
    with pytest.raises(OSError, match="place") as caught:
        Path("/srv/secret/place.bin").read_bytes()
    assert said(caught.value) == "No such file or directory"
    assert said(ValueError("two\n lines")) == "two lines"
