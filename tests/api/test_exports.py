"""Taking one's history along over HTTP: whole or not at all, two at a time, and nothing of it stays on the server."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from calotype_api.routes.history import EXPORTS_AT_ONCE
from serving import Served, until


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server writes what it does not keep."""
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, temporary: Path) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("exports") / "home", TMPDIR=str(temporary))
    yield served
    served.process.kill()
    served.process.wait()


@pytest.fixture
def api(server: Served) -> Iterator[httpx.Client]:
    with server.client() as client:
        client.get("/")  # for a cookie
        yield client


def noise(side: int) -> bytes:
    """A picture that no socket's buffer holds many of."""
    data = io.BytesIO()
    Image.frombytes("RGB", (side, side), os.urandom(3 * side * side)).save(data, "PNG")
    return data.getvalue()


def kept(temporary: Path) -> list[Path]:
    return list(temporary.glob("calotype-export-*"))


def exported(client: httpx.Client, **headers: str) -> list[str]:
    answer = client.get("/v1/export", headers=headers)
    assert answer.status_code == 200, answer.text
    assert answer.headers["accept-ranges"] == "none"
    assert answer.headers["cache-control"] == "no-store"
    assert "content-range" not in answer.headers
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        return archive.namelist()


def test_a_range_is_not_looked_at_and_takes_no_place(api: httpx.Client, temporary: Path) -> None:
    sha256 = api.post("/v1/pictures", content=noise(64)).json()["sha256"]
    expected = [f"uploads/{sha256}.png", "history.json"]
    ranges = ["bytes=999999999-", "bytes=abc", "bytes=0-10", "bytes=5-1", "bytes=-0", "bananas=1-2", "x"]
    for wanted in ranges * 2:
        assert exported(api, Range=wanted) == expected
    assert exported(api, **{"Range": "bytes=0-10", "If-Range": '"x"'}) == expected
    assert exported(api) == expected
    until(lambda: not kept(temporary), "what was written to go")


def test_who_goes_away_in_the_middle_gives_the_place_back(server: Served, api: httpx.Client, temporary: Path) -> None:
    for _ in range(6):
        assert api.post("/v1/pictures", content=noise(1400)).status_code == 201  # 6 MB each
    open_streams = []
    going = [server.client() for _ in range(EXPORTS_AT_ONCE)]
    try:
        for client in going:
            client.cookies.update(api.cookies)
            answer = client.send(client.build_request("GET", "/v1/export"), stream=True)
            assert answer.status_code == 200
            open_streams.append(stream := answer.iter_raw(1000))  # one that is let go of closes its answer
            assert next(stream).startswith(b"PK")
        assert len(kept(temporary)) == EXPORTS_AT_ONCE
        busy = api.get("/v1/export")
        assert (busy.status_code, busy.json()["error"]["code"]) == (503, "unavailable")
        assert "2 are under way" in busy.json()["error"]["message"]
    finally:
        for client in going:
            client.close()
    until(lambda: not kept(temporary), "what was written for them to go")
    assert len(exported(api)) == 7
    until(lambda: not kept(temporary), "what was written to go")
    assert "Traceback" not in server.log.read_text()
