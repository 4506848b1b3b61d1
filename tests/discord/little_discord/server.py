"""The server: TLS on loopback in a thread of its own, with everything that tests look at and turn."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import trustme
from aiohttp import web

from little_discord import rest, schema
from little_discord.exchange import Exchange, read
from little_discord.faults import Faults, Plan
from little_discord.gateway import Gateway
from little_discord.person import Person
from little_discord.refusal import NO_SUCH_ROUTE, Refusal
from little_discord.waiting import until
from little_discord.world import World

T = TypeVar("T")
API = "/api/v10"
HOSTS = ("discord.com", "gateway.discord.gg", "cdn.discordapp.com", "media.discordapp.net")
log = logging.getLogger(__name__)


class Server:
    """A Discord. :attr:`port` is where every one of :data:`HOSTS` is, :attr:`authority` whom to trust for it."""

    def __init__(self, folder: Path) -> None:
        self.world = World()
        self.faults = Faults()
        self.violations: list[str] = []
        """What was refused, or should have been. A test fails for each one at its end."""
        self.exchanges: list[Exchange] = []
        self.schemas = schema.load()
        self.gateway = Gateway(self.world, self.violations)
        self.port = 0
        self.authority = folder / "authority.pem"
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.authority))
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert(*HOSTS).configure_cert(self._tls)
        self._expected: set[int] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="little-discord", daemon=True)
        self._runner: web.AppRunner
        self._site: web.TCPSite | None = None

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        self.wait(self._set_up())

    def stop(self) -> None:
        """Close everything and end the thread."""
        self.faults.clear()
        self.wait(self._tear_down())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def wait(self, work: Coroutine[Any, Any, T], seconds: float = 15.0) -> T:
        """Do something in the server's thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(seconds)

    def person(self, who: dict[str, Any] | None = None, channel_id: str | None = None) -> Person:
        """Somebody who types commands and presses buttons."""
        world = self.world
        return Person(self, who or world.ada, channel_id or world.channel_id)

    def unplug(self) -> None:
        """Nobody reaches this server until :meth:`plug_in`."""
        self.wait(self._unplug())

    def plug_in(self) -> None:
        """Reachable again, where it was."""
        self.wait(self._listen())

    @contextmanager
    def expecting(self, *codes: int) -> Iterator[None]:
        """Refusals with these codes are what the test is about."""
        self._expected |= set(codes)
        try:
            yield
        finally:
            self._expected -= set(codes)

    def asked(self, method: str, template: str, since: int = 0) -> list[Exchange]:
        """The requests to a route."""
        return [each for each in self.exchanges[since:] if (each.method, each.template) == (method, template)]

    def until_session(self, after: int) -> None:
        """Until more than ``after`` sessions have been opened, and the last one is ready."""
        until(
            lambda: len(self.gateway.sessions) > after and self.gateway.sessions[-1].ready,
            "the bot to identify itself",
        )

    async def _set_up(self) -> None:
        application = web.Application(client_max_size=64 * 2**20)
        for (method, template), route in rest.ROUTES.items():
            application.router.add_route(method, API + template, self._handler(template, route))
        application.router.add_get("/attachments/{tail:.*}", self._file)
        application.router.add_get("/", self.gateway.serve)
        application.router.add_route("*", "/{tail:.*}", self._handler("", _nowhere))
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await self._listen()

    async def _tear_down(self) -> None:
        await self.gateway.cut()
        await self._runner.cleanup()

    async def _listen(self) -> None:
        self._site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._tls, reuse_address=True)
        await self._site.start()
        self.port = self._runner.addresses[0][1]

    async def _unplug(self) -> None:
        assert self._site is not None and self._runner.server is not None
        await self._site.stop()
        for connection in list(self._runner.server.connections):
            if connection.transport is not None:
                connection.transport.abort()

    def _handler(self, template: str, route: rest.Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            path = request.path.removeprefix(API)
            exchange = Exchange(request.method, path, template, time.monotonic(), dict(request.query))
            self.exchanges.append(exchange)
            plan = self.faults.meet(request.method, path)
            if plan is not None and plan.kind in ("answer", "drop"):
                return await self._fail(request, exchange, plan)
            exchange.status, exchange.answer = await self._answer(request, exchange, template, route)
            if plan is not None:
                await self._disturb(request, plan)
            headers = {"X-RateLimit-Limit": "5", "X-RateLimit-Remaining": "4", "X-RateLimit-Reset-After": "1.000"}
            headers |= {"X-RateLimit-Bucket": f"{abs(hash(template)):x}", "Via": "1.1 google"}
            if exchange.status == 204:
                return web.Response(status=204, headers=headers)
            return _json(exchange.answer, exchange.status, headers)

        return handle

    async def _answer(
        self, request: web.Request, exchange: Exchange, template: str, route: rest.Route
    ) -> tuple[int, Any]:
        try:
            rest.check_authorization(request.headers, template)
            await read(request, exchange)
            self._check_request(exchange)
            status, answer = route(rest.Call(self.world, exchange, request.match_info))
        except Refusal as refusal:
            exchange.code = refusal.code
            if refusal.code not in self._expected:
                self.violations.append(
                    f"{exchange.method} {exchange.path}: {refusal} (body: {exchange.payload!r:.600})"
                )
            status, answer = refusal.status, refusal.body()
        except Exception as error:  # a fault of this server must fail the test, not puzzle the bot
            log.exception("little discord")
            self.violations.append(f"{exchange.method} {exchange.path}: the test server failed: {error!r}")
            return 500, {"code": 0, "message": "500: Internal Server Error"}
        if self.schemas is not None and self.schemas.knows(exchange.method, template):
            problem = self.schemas.answer(exchange.method, template, status, answer)
            if problem is not None:
                self.violations.append(f"the test server's own answer to {exchange}: {problem}")
        return status, answer

    def _check_request(self, exchange: Exchange) -> None:
        if self.schemas is None or not self.schemas.knows(exchange.method, exchange.template):
            return
        if not exchange.content_type and exchange.method in ("GET", "DELETE"):
            return
        problem = self.schemas.request(exchange.method, exchange.template, exchange.content_type, exchange.payload)
        if problem is not None:
            raise Refusal((400, 50035, "Invalid Form Body"), [f"openapi.json: {problem}"])

    async def _fail(self, request: web.Request, exchange: Exchange, plan: Plan) -> web.StreamResponse:
        exchange.status = plan.status
        if plan.kind == "drop":
            return self._drop(request)
        if isinstance(plan.body, dict):
            return _json(plan.body, plan.status, plan.headers)
        return web.Response(text=str(plan.body), status=plan.status, headers=plan.headers, content_type="text/html")

    async def _disturb(self, request: web.Request, plan: Plan) -> None:
        plan.arrived.set()
        if plan.kind == "delay":
            await asyncio.sleep(plan.seconds)
        elif plan.kind == "hold":
            while not plan.released.is_set():  # noqa: ASYNC110 - set by the test's thread
                await asyncio.sleep(0.02)
        else:
            self._drop(request)

    def _drop(self, request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)

    async def _file(self, request: web.Request) -> web.Response:
        data = self.world.files.get(request.path)
        return web.Response(status=404) if data is None else web.Response(body=data, content_type="image/png")


def _nowhere(call: rest.Call) -> rest.Answer:
    raise Refusal(NO_SUCH_ROUTE)


def _json(answer: Any, status: int, headers: dict[str, str]) -> web.Response:
    """As Discord does it: no charset in the type, by which discord.py tells JSON from a proxy's page."""
    return web.Response(
        body=json.dumps(answer).encode(), status=status, headers={**headers, "Content-Type": "application/json"}
    )
