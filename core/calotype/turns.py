"""Whose turn it is: of several processes with the same front end one is active, so that nothing is delivered twice."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError

from calotype.errors import DatabaseError

if TYPE_CHECKING:
    from calotype.ledger.session import Session

_LOOK_EVERY: Final = 2.0
"""Seconds between looks of those who stand by."""


class Turns:
    """Without a session this process is the only one, and every turn is its own."""

    def __init__(self, session: Session | None = None) -> None:
        self._session = session

    async def take(self, front_end: str) -> bool:
        """Whether this process is the active one, now; it becomes that if nobody is."""
        return self._session is None or await asyncio.to_thread(self._take, front_end)

    async def wait(self, front_end: str) -> None:
        """Until this process is the active one."""
        while not await self.take(front_end):  # noqa: ASYNC110 - the database has no event for it
            await asyncio.sleep(_LOOK_EVERY)

    async def lost(self, front_end: str) -> None:
        """Until another process is: this one lost its connection to the database, and the other was faster."""
        while self._session is None or await self.take(front_end) or not await self._is_taken(front_end):  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_EVERY)

    async def _is_taken(self, front_end: str) -> bool:
        """Whether the database can be asked, and says again that it is somebody else's turn."""
        assert self._session is not None
        try:
            await asyncio.to_thread(self._session.ping)
        except (SQLAlchemyError, DatabaseError):
            return False
        return not await self.take(front_end)

    def _take(self, front_end: str) -> bool:
        from calotype.ledger.session import Kind

        assert self._session is not None
        try:
            return self._session.lock(Kind.FRONT_END, front_end)
        except (SQLAlchemyError, DatabaseError):
            return False  # nobody can tell; nor can anything be delivered
