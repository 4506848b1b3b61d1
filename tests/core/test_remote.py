"""The client of the HTTP API against servers that are not as they should be, over real sockets."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, TypeVar

import pytest

from calotype import darkroom
from calotype.bootstrap import catalog_for
from calotype.config import Settings
from calotype.darkroom import Own, ServerGone, follow, open_darkroom
from calotype.errors import BadRequest, NotAllowed, SetupError, UnknownJob
from calotype.events import Cancelled, Failed, Finished, Paused, Queued, Started, Stepped
from calotype.home import Home, ServerAddress
from calotype.job import Picture
from calotype.remote import Remote, answers, event_of
from calotype.request import Request

T = TypeVar("T")
HEALTHY = (200, "application/json", b'{"service": "calotype"}')
READY = (200, "application/json", b'{"ready": true}')


class Canned(BaseHTTPRequestHandler):
    """Answers each path with what was put there, and notes who asked."""

    answers: ClassVar[dict[str, tuple[int, str, bytes]]] = {}
    asked: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("Authorization")))
        status, kind, body = self.answers.get(self.path, (404, "text/plain", b"not here"))
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        return


@pytest.fixture
def canned() -> Iterator[ServerAddress]:
    Canned.answers = {"/healthz": HEALTHY, "/readyz": READY}
    Canned.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Canned)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield ServerAddress(f"http://127.0.0.1:{server.server_port}", "secret")
    server.shutdown()
    thread.join()
    server.server_close()


def _with(address: ServerAddress, use: Callable[[Remote], Awaitable[T]]) -> T:
    async def used() -> T:
        async with Remote(address) as remote:
            return await use(remote)

    return asyncio.run(used())


def _error(field: str | None, message: str) -> bytes:
    problems = [{"field": field, "message": message}] if field else []
    return json.dumps({"error": {"message": f"{field}: {message}", "problems": problems}}).encode()


def _events(remote: Remote) -> Awaitable[list[Any]]:
    async def gathered() -> list[Any]:
        return [event async for event in remote.watch("j1")]

    return gathered()


def test_events_there_and_back() -> None:
    picture = {"index": 0, "seed": 7, "sha256": "ab", "width": 64, "height": 32, "notes": ["skipped"]}
    assert event_of("queued", {"job_id": "j", "position": 3}) == Queued("j", 3)
    assert event_of("started", {"job_id": "j"}) == Started("j")
    assert event_of("started", {"job_id": "j", "notes": ["a note"]}) == Started("j", ("a note",))
    assert event_of("paused", {"job_id": "j"}) == Paused("j")
    assert event_of("stepped", {"job_id": "j", "step": 1, "steps": 4, "preview": "…"}) == Stepped("j", 1, 4)
    finished = Finished("j", (Picture(0, 7, "ab", 64, 32, ("skipped",)),))
    assert event_of("finished", {"job_id": "j", "pictures": [picture]}) == finished
    assert event_of("failed", {"job_id": "j", "reason": "why"}) == Failed("j", "why")
    assert event_of("cancelled", {"job_id": "j"}) == Cancelled("j")
    assert event_of("mended", {"job_id": "j"}) is None


def test_only_a_calotype_server_counts(canned: ServerAddress) -> None:
    assert asyncio.run(answers(canned))
    for alien in [(200, "text/html", b"<html>"), (200, "application/json", b"[]"), (500, "text/plain", b"")]:
        Canned.answers["/healthz"] = alien
        assert not asyncio.run(answers(canned))
    assert {token for _, token in Canned.asked} == {None}  # nobody is given the operator's token unasked
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert not asyncio.run(answers(ServerAddress(f"http://127.0.0.1:{port}", "secret")))
    assert not asyncio.run(answers(ServerAddress("not a url", "secret")))


def test_errors_are_what_they_were(canned: ServerAddress) -> None:
    wanted: list[tuple[tuple[int, bytes], type[Exception], str]] = [
        ((400, _error("steps", "0 is too small")), BadRequest, "steps: 0 is too small"),
        ((403, _error(None, "only the operator")), NotAllowed, "only the operator"),
        ((404, _error(None, "gone")), UnknownJob, "j1"),
        ((503, _error(None, "stopping")), ServerGone, "stopping"),
        ((500, b"<html>"), ServerGone, "not as Calotype does"),
        ((200, b"[]"), ServerGone, "not an object"),
    ]
    for (status, body), kind, says in wanted:
        Canned.answers["/v1/jobs/j1"] = (status, "application/json", body)
        with pytest.raises(kind, match=says):
            _with(canned, lambda remote: remote.job("j1"))
    assert Canned.asked[-1] == ("/v1/jobs/j1", "Bearer secret")


def test_a_damaged_picture_is_not_taken(canned: ServerAddress) -> None:
    Canned.answers["/v1/jobs/j1/pictures/0"] = (200, "image/png", b"half a pict")
    sha256 = hashlib.sha256(b"half a picture").hexdigest()
    with pytest.raises(ServerGone, match="damaged"):
        _with(canned, lambda remote: remote.picture("j1", 0, sha256))
    sha256 = hashlib.sha256(b"half a pict").hexdigest()
    assert _with(canned, lambda remote: remote.picture("j1", 0, sha256)) == b"half a pict"


def test_a_picture_is_taken_in_or_refused_in_the_servers_words(canned: ServerAddress) -> None:
    Canned.answers["/v1/pictures"] = (201, "application/json", b'{"sha256": "ab"}')
    assert _with(canned, lambda remote: remote.take_in(b"\x89PNG")) == "ab"
    Canned.answers["/v1/pictures"] = (413, "application/json", _error("body", "is larger than 20 bytes"))
    with pytest.raises(BadRequest, match="body: is larger than 20 bytes"):
        _with(canned, lambda remote: remote.take_in(b"\x89PNG"))


def test_a_stream_that_ends_early_says_that_the_job_is_kept(canned: ServerAddress) -> None:
    text = 'event: queued\ndata: {"job_id": "j1", "position": 0}\n\n: still here\n\n'
    Canned.answers["/v1/jobs/j1/events"] = (200, "text/event-stream", text.encode())
    with pytest.raises(ServerGone, match="job j1 is kept"):
        _with(canned, _events)
    more = 'event: novelty\ndata: {}\n\nevent: cancelled\ndata: {"job_id": "j1"}\n\n'
    Canned.answers["/v1/jobs/j1/events"] = (200, "text/event-stream", (text + more).encode())
    assert _with(canned, _events) == [Queued("j1", 0), Cancelled("j1")]


def test_a_server_whose_engine_failed_is_not_waited_for(canned: ServerAddress) -> None:
    state = {"ready": False, "state": "failed", "reason": "no weights"}
    Canned.answers["/readyz"] = (503, "application/json", json.dumps(state).encode())
    with pytest.raises(SetupError, match="no weights"):
        _with(canned, lambda remote: remote.job("j1"))


def test_an_engine_that_fails_while_a_job_waits_ends_the_wait() -> None:
    async def queued(_: str) -> AsyncIterator[Queued]:
        yield Queued("j1", 0)
        await asyncio.Event().wait()

    async def used() -> list[Any]:
        studio: Any = SimpleNamespace(watch=queued, problem=None, ready=False)
        seen = []
        async for event in follow(Own(studio), "j1", print):
            seen.append(event)
            studio.problem = "no memory"
        return seen

    with pytest.raises(SetupError, match=r"engine: .*no memory"):
        asyncio.run(used())


def test_what_holds_a_job_up_at_a_server_is_told_and_waited_for(canned: ServerAddress) -> None:
    state = {"ready": False, "state": "held", "reason": "The disk is nearly full."}
    text = 'event: queued\ndata: {"job_id": "j1", "position": 0}\n\n'

    async def used(remote: Remote) -> list[str]:
        told: list[str] = []
        twice = asyncio.Event()

        def note(reason: str) -> None:
            told.append(reason)
            if len(told) == 2:
                twice.set()

        async def watch(_: str) -> AsyncIterator[Queued]:
            yield Queued("j1", 0)
            await twice.wait()

        remote.watch = watch  # type: ignore[method-assign, assignment]
        async for _ in follow(remote, "j1", note):
            pass
        return told

    Canned.answers["/readyz"] = (503, "application/json", json.dumps(state).encode())
    Canned.answers["/v1/jobs/j1/events"] = (200, "text/event-stream", text.encode())
    assert set(_with(canned, used)) == {"The disk is nearly full."}


def test_a_home_that_never_comes_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(darkroom, "OWNER_WAIT", 0.6)
    monkeypatch.setattr(darkroom, "_ANNOUNCED_WITHIN", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    settings = Settings(home=tmp_path / "home")
    owner = Home(settings.home)
    assert owner.acquire()
    owner.announce(f"http://127.0.0.1:{port}")  # as a server leaves it that was killed

    async def opened() -> None:
        async with open_darkroom(settings, Home(settings.home), catalog_for(settings), Request(prompt="cat")):
            raise AssertionError

    begun = time.monotonic()
    with pytest.raises(SetupError, match=r"CALOTYPE_HOME: .* still in use"):
        asyncio.run(opened())
    assert time.monotonic() - begun < 10
    assert capsys.readouterr().err.count("another command is at work") == 1
    owner.release()


def test_what_no_server_can_save_is_refused(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    doubt = BadRequest.of("model", "no such thing")

    async def opened() -> None:
        async with open_darkroom(settings, Home(settings.home), catalog_for(settings), Request(prompt="cat"), doubt):
            raise AssertionError

    with pytest.raises(BadRequest, match="no such thing"):
        asyncio.run(opened())
    again = Home(settings.home)
    assert again.acquire()
    again.release()
