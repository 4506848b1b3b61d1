"""How ``calotype serve`` ends: in order, at once, or because a part of it cannot work."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import signal
import socket
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from calotype import frontend, serve
from calotype.checkpoint import EMBEDDED
from calotype.config import Settings
from calotype.errors import SetupError
from calotype.frontend import FrontEnd, Hosting
from calotype.home import Home
from calotype_api.front_end import Web
from serving import PATIENCE, Served, calotype, start, until


def _is_free(home: Path) -> bool:
    again = Home(home)
    free = again.acquire()
    again.release()
    return free


def test_sigterm_ends_streams_keeps_jobs_and_gives_the_home_up(tmp_path: Path) -> None:
    served = Served(tmp_path / "home", CALOTYPE_DRAIN_SECONDS="0")
    try:
        served.wait_ready()
        with served.client() as client, served.client() as waiting:
            long = {"prompt": "blue cat", "steps": 150, "images": 8}
            job_id = client.post("/v1/jobs", json=long).json()["job_id"]
            with waiting.stream("GET", f"/v1/jobs/{job_id}/events") as events:
                lines = events.iter_lines()
                until(lambda: next(lines) == "event: stepped", "a step")
                begun = time.monotonic()
                served.process.send_signal(signal.SIGTERM)
                assert not [line for line in lines if line in ("event: failed", "event: cancelled")]
            assert served.process.wait(PATIENCE) == 0
            assert time.monotonic() - begun < 15
    finally:
        served.process.kill()
    said = served.log.read_text()
    assert served.url in said
    assert "is loaded" in said
    assert "Traceback" not in said
    assert "ERROR" not in said
    assert not (tmp_path / "home" / "server.json").exists()
    assert _is_free(tmp_path / "home")


def test_sigterm_is_not_held_up_by_an_erase(tmp_path: Path) -> None:
    """Which waits for a file that was put a moment ago, and tells so instead."""
    served = Served(tmp_path / "home")
    try:
        with served.client() as client, served.client(token=served.token) as operator:
            client.get("/")  # for a cookie
            sha256 = client.post("/v1/pictures", content=_png()).json()["sha256"]
            (key,) = [each["key"] for each in operator.get("/v1/people", params={"search": "web:"}).json()["data"]]
            with ThreadPoolExecutor(1) as threads:
                erasing = threads.submit(client.delete, "/v1/me")
                until(lambda: not operator.get("/v1/people", params={"search": key}).json()["data"], "the rows to go")
                assert not erasing.done()
                begun = time.monotonic()
                served.process.send_signal(signal.SIGTERM)
                report = erasing.result().json()
            assert served.process.wait(PATIENCE) == 0
            assert time.monotonic() - begun < 8
    finally:
        served.process.kill()
    assert (report["complete"], report["kept"]["waiting_files"], report["left"]["files"]) == (False, 1, 1)
    assert (tmp_path / "home" / "images" / sha256[:2] / f"{sha256}.png").exists()
    assert "Traceback" not in served.log.read_text()


def _png() -> bytes:
    data = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(data, "PNG")
    return data.getvalue()


def test_ctrl_c_while_it_starts(tmp_path: Path) -> None:
    home, log = tmp_path / "home", tmp_path / "log"
    process = start("serve", "--port", "0", home=home, cwd=tmp_path, log=log)
    try:
        until((home / "calotype.db").exists, "the database")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
    assert "Traceback" not in log.read_text()
    assert _is_free(home)


def test_an_engine_that_cannot_start_is_said_everywhere(tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    shutil.copytree(EMBEDDED, folder)
    config = json.loads((folder / "unet/config.json").read_text("utf-8"))
    (folder / "unet/config.json").write_text(json.dumps({**config, "cross_attention_dim": 8}), "utf-8")
    (folder / "calotype.json").unlink()
    served = Served(tmp_path / "home", "--model", folder)
    try:
        with served.client() as client:
            until(lambda: client.get("/readyz").json().get("state") == "failed", "the engine to fail")
            assert client.get("/readyz").status_code == 503
            answer = client.post("/v1/images/generations", json={"prompt": "cat"})
            assert answer.status_code == 503
            assert answer.json()["error"]["type"] == "server_error"
            for said in (client.get("/readyz").json()["reason"], answer.json()["error"]["message"]):
                assert said.endswith("the engine could not be started; the operator finds the reason in the log")
        with served.client(token=served.token) as operator:
            assert operator.get("/readyz").json()["reason"].startswith("model: ")
        until(lambda: "No pictures can be made" in served.log.read_text(), "the line on the terminal")
        ran = calotype("imagine", "cat", home=served.home, cwd=tmp_path)
        assert ran.returncode == 2
        assert ran.stderr.startswith("error: engine: ")
        assert ran.stderr.count("\n") == 1
        assert served.stop() == 0
    finally:
        served.process.kill()


# the parts, without an engine --------------------------------------------------------------------------------------


class Crashes(FrontEnd):
    name = "crashes"

    async def run(self, hosting: Hosting) -> None:
        hosting.announcements.append("nearly")
        raise RuntimeError("boom")


class Refuses(FrontEnd):
    name = "refuses"

    async def run(self, hosting: Hosting) -> None:
        raise SetupError("port: 1 on x is in use by another program")


class Waits(FrontEnd):
    name = "waits"
    stopped = False

    async def run(self, hosting: Hosting) -> None:
        hosting.announcements.append("http://nowhere")
        try:
            await asyncio.Event().wait()
        finally:
            type(self).stopped = True


class Absent(FrontEnd):
    name = "absent"

    def absent(self, settings: Settings) -> str | None:
        return "no token; set CALOTYPE_TOKEN"


@pytest.fixture
def hosted(monkeypatch: pytest.MonkeyPatch) -> Any:
    async def drain(seconds: float) -> None:
        """Nothing runs here."""

    engine = SimpleNamespace(ready=True, problem=None)
    studio = SimpleNamespace(catalog=SimpleNamespace(default_model="m"), drain=drain)

    @asynccontextmanager
    async def opened(*_: object, engine: bool) -> AsyncIterator[Any]:
        studio.engine = run.engine if engine else None
        yield studio

    def run(tmp_path: Path, *front_ends: FrontEnd, only: tuple[str, ...] = ()) -> int:
        monkeypatch.setattr(serve, "open_service", opened)
        monkeypatch.setattr(serve, "catalog_for", lambda settings: None)
        monkeypatch.setattr(frontend, "discover", lambda: list(front_ends))
        monkeypatch.setenv("CALOTYPE_HOME", str(tmp_path / "home"))
        return serve.run(port=0, only=only)

    run.engine = engine  # type: ignore[attr-defined]
    return run


class Chats(Waits):
    name, part = "chats", "bot"


def test_only_a_part_of_the_service(hosted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALOTYPE_DATABASE_URL", "postgresql://nobody@nowhere/nothing")
    with pytest.raises(SetupError, match="port: 1"):
        hosted(tmp_path, Waits(), Refuses(), only=("page", "worker"))
    assert hosted(tmp_path, Crashes(), only=("page",)) == 1
    with pytest.raises(SetupError, match="front ends: none can run"):
        hosted(tmp_path, Crashes(), only=("bot",))
    with pytest.raises(SetupError, match="'desk' is not one of bot, page, worker"):
        hosted(tmp_path, Crashes(), only=("desk",))
    other = Home(tmp_path / "home")
    assert other.acquire()  # a page elsewhere owns it
    hosted.engine.problem, hosted.engine.ready = "no weights", False
    with pytest.raises(SetupError, match="engine: it could not be started: no weights"):
        hosted(tmp_path, Crashes(), only=("worker",))
    with pytest.raises(SetupError, match="is in use by another calotype command"):
        hosted(tmp_path, Waits(), only=("page",))
    assert other.server() is None
    other.release()


def test_a_front_end_that_crashes_stops_the_service(
    hosted: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Waits.stopped = False
    assert hosted(tmp_path, Waits(), Crashes()) == 1
    assert Waits.stopped
    said = capsys.readouterr().err
    assert "front end crashes failed" in said
    assert "boom" in said
    assert _is_free(tmp_path / "home")


def test_a_front_end_that_may_not_start_is_a_setup_error(hosted: Any, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="port: 1"):
        hosted(tmp_path, Waits(), Refuses())
    assert _is_free(tmp_path / "home")


def test_absent_front_ends_say_why(hosted: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert hosted(tmp_path, Absent(), Crashes()) == 1
    assert "absent: no token; set CALOTYPE_TOKEN" in capsys.readouterr().err
    with pytest.raises(SetupError, match="front ends"):
        hosted(tmp_path, Absent())


def test_the_port_is_taken_before_anything_else(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(home=tmp_path, port=taken.getsockname()[1])
        hosting: Any = SimpleNamespace(settings=settings)  # nothing else may be touched
        with pytest.raises(SetupError, match="--port"):
            asyncio.run(Web().run(hosting))
