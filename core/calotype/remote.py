"""A small client of the HTTP API, for the command line that finds a server in its data folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final

import httpx

from calotype.darkroom import ServerGone
from calotype.errors import BadRequest, CalotypeError, LimitReached, NotAllowed, Problem, SetupError, UnknownJob
from calotype.events import Cancelled, Event, Failed, Finished, Paused, Queued, Started, Stepped
from calotype.home import ServerAddress
from calotype.job import Picture
from calotype.request import Request

_TIMEOUT: Final = httpx.Timeout(60.0, connect=5.0)
"""Seconds. A server that is still starting takes connections before it answers them."""
_SILENCE: Final = 60.0
"""Seconds without a line after which a stream of events counts as broken; the server sends one every 15."""


class Remote:
    """The server, as a :class:`~calotype.darkroom.Darkroom`. An asynchronous context manager."""

    def __init__(self, server: ServerAddress) -> None:
        self._url = server.url
        self._client = httpx.AsyncClient(
            base_url=server.url,
            headers={"Authorization": f"Bearer {server.token}"},
            timeout=_TIMEOUT,
            trust_env=False,  # the server is on this machine: no proxy
        )
        self.loading = True
        """Whether the model is not there yet, as far as is known."""

    async def __aenter__(self) -> Remote:
        if (reason := await self.problem()) is not None:
            await self._client.aclose()
            raise SetupError(f"engine: the server at {self._url} could not start it: {reason}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def problem(self) -> str | None:
        """Why no engine will ever run a job there, if that is so. Once the model is loaded, nothing is asked."""
        if not self.loading:
            return None
        state = _object(await self._ask("GET", "/readyz", expect=(200, 503)))
        self.loading = not state.get("ready")
        return str(state.get("reason")) if state.get("state") == "failed" else None

    async def held(self) -> str | None:
        """Why no job is begun there just now, if that is so."""
        state = _object(await self._ask("GET", "/readyz", expect=(200, 503)))
        return str(state.get("reason")) if state.get("state") == "held" else None

    async def offer(self, folder: Path) -> None:
        """Have the server offer a model folder. Raises :class:`BadRequest` if it cannot."""
        body = {"folder": str(folder)}
        await self._ask("POST", "/v1/models", body, patience=httpx.Timeout(600.0, connect=5.0))  # it reads every file

    async def take_in(self, data: bytes) -> str:
        """Bring a picture file to start from; the sha256 to name it by. Raises :class:`BadRequest`."""
        return str(_object(await self._ask("POST", "/v1/pictures", content=data)).get("sha256"))

    async def submit(self, request: Request) -> dict[str, Any]:
        """Queue it; the job as JSON. Raises :class:`BadRequest`."""
        answer = await self._ask("POST", "/v1/jobs", request.model_dump(mode="json", exclude_none=True))
        return _object(answer)

    async def watch(self, job_id: str) -> AsyncGenerator[Event, None]:
        """The job's events to the last. Raises :class:`ServerGone` if the server stops before."""
        timeout = httpx.Timeout(_SILENCE, connect=5.0)
        try:
            async with self._client.stream("GET", f"/v1/jobs/{job_id}/events", timeout=timeout) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    raise _error(answer)
                async for name, data in _server_sent(answer.aiter_lines()):
                    event = event_of(name, data)
                    if event is not None:
                        self.loading = self.loading and isinstance(event, Queued)
                        yield event
                        if isinstance(event, Finished | Failed | Cancelled):
                            return
        except httpx.HTTPError as error:
            raise self._gone(error, job_id) from None
        raise self._gone(None, job_id)

    async def ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, seconds: float = 60.0
    ) -> dict[str, Any]:
        """Any other path of the API; its answer, if it comes in time. Raises what the server raised."""
        return _object(await self._ask(method, path, body, patience=httpx.Timeout(seconds, connect=5.0)))

    async def download(self, path: str, into: BinaryIO) -> None:
        """What is at a path of the API, written piece by piece. Raises what the server raised."""
        timeout = httpx.Timeout(None, connect=5.0)  # it is put together first, however long that takes
        try:
            async with self._client.stream("GET", path, timeout=timeout) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    raise _error(answer)
                async for some in answer.aiter_bytes():
                    into.write(some)
        except httpx.HTTPError as error:
            raise self._gone(error) from None

    async def close(self) -> None:
        """For one that was not entered: an engine is not wanted."""
        await self._client.aclose()

    async def job(self, job_id: str) -> dict[str, Any]:
        """The job as JSON."""
        return _object(await self._ask("GET", f"/v1/jobs/{job_id}"))

    async def cancel(self, job_id: str) -> None:
        """Call it off."""
        await self._ask("POST", f"/v1/jobs/{job_id}/cancel")

    async def picture(self, job_id: str, index: int, sha256: str) -> bytes:
        """A PNG file, whole. Raises :class:`ServerGone` if what came is not what the job's record promises."""
        content = (await self._ask("GET", f"/v1/jobs/{job_id}/pictures/{index}")).content
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ServerGone(f"server: picture {index} of job {job_id} came damaged; fetch it again")
        return content

    async def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        content: bytes | None = None,
        expect: tuple[int, ...] = (200, 201),
        patience: httpx.Timeout = _TIMEOUT,
    ) -> httpx.Response:
        try:
            answer = await self._client.request(method, path, json=body, content=content, timeout=patience)
        except httpx.HTTPError as error:
            raise self._gone(error) from None
        if answer.status_code not in expect:
            raise _error(answer)
        return answer

    def _gone(self, error: Exception | None, job_id: str | None = None) -> ServerGone:
        reason = f" ({type(error).__name__})" if error else ""
        kept = f"; job {job_id} is kept and goes on when it starts again" if job_id else ""
        return ServerGone(f"server: {self._url} stopped answering{reason}{kept}")


async def answers(server: ServerAddress) -> bool:
    """Whether a Calotype server is alive at the address. It is not sent the token."""
    try:
        async with httpx.AsyncClient(trust_env=False, timeout=_TIMEOUT) as client:
            answer = await client.get(f"{server.url}/healthz")
            return answer.status_code == 200 and answer.json().get("service") == "calotype"
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, AttributeError):
        return False


def event_of(name: str, data: Mapping[str, Any]) -> Event | None:
    """A server-sent event as ours; None for a name that is not known here (a newer server's)."""
    job_id = str(data.get("job_id"))
    event: Event | None = None
    match name:
        case "queued":
            eta = data.get("eta_seconds")  # an older server sends none
            event = Queued(job_id, int(data["position"]), None if eta is None else float(eta))
        case "started":
            event = Started(job_id, tuple(data.get("notes", ())))  # an older server sends none
        case "stepped":
            event = Stepped(job_id, int(data["step"]), int(data["steps"]))
        case "paused":
            event = Paused(job_id)
        case "finished":
            event = Finished(job_id, tuple(_picture(picture) for picture in data["pictures"]))
        case "failed":
            event = Failed(job_id, str(data["reason"]))
        case "cancelled":
            event = Cancelled(job_id)
    return event


def _picture(data: Mapping[str, Any]) -> Picture:
    return Picture(
        index=int(data["index"]),
        seed=int(data["seed"]),
        sha256=str(data["sha256"]),
        width=int(data["width"]),
        height=int(data["height"]),
        notes=tuple(data.get("notes", ())),
    )


async def _server_sent(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Name and data of each event of a text/event-stream; comments are skipped."""
    name, data = "", ""
    async for line in lines:
        if line.startswith("event:"):
            name = line[6:].strip()
        elif line.startswith("data:"):
            data += line[5:].strip()
        elif not line and data:
            yield name, json.loads(data)
            name, data = "", ""


def _object(answer: httpx.Response) -> dict[str, Any]:
    value = answer.json()
    if not isinstance(value, dict):
        raise ServerGone(f"server: {answer.url} answered something that is not an object")
    return value


def _error(answer: httpx.Response) -> CalotypeError:
    """An error answer as the exception it was at the server."""
    try:
        error = answer.json()["error"]
        message = str(error["message"])
        problems = [Problem(str(p["field"]), str(p["message"])) for p in error.get("problems") or ()]
    except (ValueError, KeyError, TypeError):
        return ServerGone(f"server: {answer.url} answered {answer.status_code}, not as Calotype does")
    path = answer.url.path.split("/")
    # a job that an operator names is a field of theirs
    match 400 if answer.status_code == 404 and path[1:3] == ["v1", "moderation"] else answer.status_code:
        case 400 | 413:
            return BadRequest(*problems) if problems else SetupError(message)
        case 403:
            return NotAllowed(message)
        case 429:
            return LimitReached(message)
        case 404 if path[1:3] == ["v1", "jobs"]:
            return UnknownJob(path[3])
        case _:
            return ServerGone(f"server: {message}")
