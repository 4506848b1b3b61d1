"""The gateway: HELLO, IDENTIFY, events, heartbeats, RESUME with what was missed."""

from __future__ import annotations

import asyncio
import json
import secrets
import zlib
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

from little_discord.rest import TOKEN
from little_discord.world import World, stamp

DISPATCH, HEARTBEAT, IDENTIFY, RESUME, RECONNECT, INVALID, HELLO, ACK = 0, 1, 2, 6, 7, 9, 10, 11
GUILDS = 1 << 0
_PRIVILEGED = (1 << 1) | (1 << 8) | (1 << 15)
_BEAT_EVERY = 41.25


class Socket:
    """One connection, compressed as its client asked."""

    def __init__(self, websocket: web.WebSocketResponse, compress: str | None) -> None:
        self.websocket = websocket
        self._deflate = zlib.compressobj() if compress == "zlib-stream" else None

    async def send(self, op: int, data: Any, *, number: int | None = None, event: str | None = None) -> None:
        """One message. A connection that is gone takes it in silence, as the network does."""
        text = json.dumps({"op": op, "d": data, "s": number, "t": event})
        try:
            if self._deflate is None:
                await self.websocket.send_str(text)
            else:
                packed = self._deflate.compress(text.encode()) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
                await self.websocket.send_bytes(packed)
        except ConnectionError:
            return


@dataclass
class Session:
    """What survives a connection: the events with their numbers."""

    id: str
    intents: int
    shard: tuple[int, int]
    socket: Socket | None = None
    sent: list[tuple[int, str, Any]] = field(default_factory=list)
    ready: bool = False
    resumed: int = 0


class Gateway:
    """All sessions; events go to the youngest, as a bot with one shard has one."""

    def __init__(self, world: World, violations: list[str]) -> None:
        self._world = world
        self._violations = violations
        self.sessions: list[Session] = []
        self.sockets: set[web.WebSocketResponse] = set()
        self.heartbeats = 0
        self.refuse_resume = False
        """The next RESUME is answered with INVALID_SESSION."""

    @property
    def session(self) -> Session | None:
        """The youngest session."""
        return self.sessions[-1] if self.sessions else None

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One connection, to its end."""
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        compress = request.query.get("compress")
        if compress not in (None, "zlib-stream") or request.query.get("encoding") != "json":
            self._violations.append(f"gateway: {request.query_string} is not supported by this server")
        self.sockets.add(websocket)
        socket, session = Socket(websocket, compress), None
        try:
            await socket.send(HELLO, {"heartbeat_interval": int(_BEAT_EVERY * 1000)})
            async for message in websocket:
                if message.type is not WSMsgType.TEXT:
                    await websocket.close(code=4002)
                    break
                session = await self._take(json.loads(message.data), socket, session)
        finally:
            self.sockets.discard(websocket)
            if session is not None and session.socket is socket:
                session.socket = None
        return websocket

    async def _take(self, message: dict[str, Any], socket: Socket, session: Session | None) -> Session | None:
        data = message["d"]
        match message["op"]:
            case 1:
                self.heartbeats += 1
                await socket.send(ACK, None)
            case 2:
                return await self._identify(data, socket)
            case 6:
                return await self._resume(data, socket)
            case 3 | 4 | 8:  # presence, voice, members: taken and not answered
                if session is None:
                    await socket.websocket.close(code=4003)
            case unknown:
                self._violations.append(f"gateway: op {unknown} from a client")
                await socket.websocket.close(code=4001)
        return session

    async def _identify(self, data: dict[str, Any], socket: Socket) -> Session | None:
        if data.get("token") != TOKEN:
            self._violations.append("gateway: IDENTIFY with a wrong token")
            await socket.websocket.close(code=4004)
            return None
        intents = data.get("intents")
        if not isinstance(intents, int) or intents & _PRIVILEGED:
            self._violations.append(f"gateway: intents {intents} are not enabled for this bot")
            await socket.websocket.close(code=4014)
            return None
        shard = tuple(data.get("shard") or (0, 1))
        if len(shard) != 2 or not 0 <= shard[0] < shard[1]:
            self._violations.append(f"gateway: shard {shard}")
            await socket.websocket.close(code=4010)
            return None
        session = Session(secrets.token_hex(16), intents, (int(shard[0]), int(shard[1])), socket)
        self.sessions.append(session)
        world = self._world
        guild = {"id": world.guild_id, "unavailable": True}
        ready: dict[str, Any] = {"v": 10, "user": world.bot | {"verified": True, "mfa_enabled": False, "email": None}}
        ready |= {"session_id": session.id, "resume_gateway_url": "wss://gateway.discord.gg", "shard": list(shard)}
        ready |= {"guilds": [guild], "application": {"id": world.application_id, "flags": 0}, "private_channels": []}
        await self._send(session, "READY", ready)
        if intents & GUILDS:
            await self._send(session, "GUILD_CREATE", self._guild())
        session.ready = True
        return session

    async def _resume(self, data: dict[str, Any], socket: Socket) -> Session | None:
        found = next((each for each in self.sessions if each.id == data.get("session_id")), None)
        if found is None or data.get("token") != TOKEN or self.refuse_resume:
            self.refuse_resume = False
            await socket.send(INVALID, False)
            return None
        found.socket = socket
        for number, event, content in [each for each in found.sent if each[0] > (data.get("seq") or 0)]:
            await socket.send(DISPATCH, content, number=number, event=event)
        await self._send(found, "RESUMED", {})
        found.resumed += 1
        return found

    async def dispatch(self, event: str, data: Any) -> None:
        """An event for the bot; kept for RESUME where there is no connection now."""
        if self.session is None:
            raise AssertionError(f"{event}: no bot has ever identified itself")
        await self._send(self.session, event, data)

    async def _send(self, session: Session, event: str, data: Any) -> None:
        number = len(session.sent) + 1
        session.sent.append((number, event, data))
        if session.socket is not None:
            await session.socket.send(DISPATCH, data, number=number, event=event)

    async def ask_to_reconnect(self) -> None:
        """Op 7."""
        if self.session is not None and self.session.socket is not None:
            await self.session.socket.send(RECONNECT, None)

    async def cut(self) -> None:
        """Every connection ends without a word, as when a cable is pulled."""
        for websocket in list(self.sockets):
            transport = websocket._req.transport if websocket._req is not None else None
            if transport is not None:
                transport.abort()
        await asyncio.sleep(0)

    async def invalidate(self) -> None:
        """Op 9: the session is over and cannot be resumed."""
        session = self.session
        if session is not None and session.socket is not None:
            await session.socket.send(INVALID, False)

    def _guild(self) -> dict[str, Any]:
        world = self._world
        everyone = {"id": world.guild_id, "name": "@everyone", "permissions": "2248473465835073", "position": 0}
        everyone |= {"color": 0, "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None}}
        everyone |= {"hoist": False, "managed": False, "mentionable": False, "flags": 0}
        bot = {"user": world.bot, "roles": [], "joined_at": stamp(world.now() - 1e6), "deaf": False, "mute": False}
        found: dict[str, Any] = {"id": world.guild_id, "name": "Little guild", "icon": None, "splash": None}
        found |= {"owner_id": world.ada["id"], "region": "", "afk_channel_id": None, "afk_timeout": 300, "features": []}
        found |= {"verification_level": 0, "default_message_notifications": 0, "explicit_content_filter": 0}
        found |= {"roles": [everyone], "emojis": [], "stickers": [], "mfa_level": 0, "application_id": None}
        found |= {"system_channel_id": None, "system_channel_flags": 0, "rules_channel_id": None, "banner": None}
        found |= {"vanity_url_code": None, "description": None, "premium_tier": 0, "preferred_locale": "en-US"}
        found |= {"public_updates_channel_id": None, "nsfw_level": 0, "premium_progress_bar_enabled": False}
        found |= {"joined_at": stamp(world.now() - 1e6), "large": False, "unavailable": False, "member_count": 3}
        found |= {"voice_states": [], "members": [bot | {"flags": 0}], "threads": [], "presences": []}
        found |= {"stage_instances": [], "guild_scheduled_events": [], "soundboard_sounds": []}
        found["channels"] = [world.channel(each) for each in (world.channel_id, world.quiet_channel_id)]
        return found
