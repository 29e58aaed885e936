"""Logins that ended before their access tokens expired: what a self-contained token cannot know.

Whoever ends a login names it in `ops.ended_logins`; each process reads the short list of those
whose tokens may still be out every two seconds.
"""

import asyncio
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.auth.principals import Principal
from libs.auth.tokens import ACCESS_TOKEN_LIFETIME, InvalidToken
from libs.db.engine import Sessions
from libs.db.transaction import transaction

REFRESH_SECONDS = 2.0
# Longer than a token lives: clocks differ, and while an ending waits for its locks a refresh that
# came before it may sign one more.
REMEMBER = ACCESS_TOKEN_LIFETIME + timedelta(minutes=5)
END = text(
    "INSERT INTO ops.ended_logins (session_id, forget_at)"
    " SELECT session_id, :forget_at FROM unnest(CAST(:session_ids AS uuid[])) AS session_id"
    " ON CONFLICT (session_id) DO UPDATE SET forget_at = excluded.forget_at"
)
FORGET = text("DELETE FROM ops.ended_logins WHERE forget_at <= :now")
LIST = text("SELECT session_id FROM ops.ended_logins WHERE forget_at > now()")


async def end_logins(session: AsyncSession, session_ids: Sequence[UUID], *, now: datetime) -> None:
    """No service takes the access tokens of these logins any more, two seconds after commit."""
    if session_ids:
        forget_at = now + REMEMBER
        await session.execute(END, {"session_ids": list(session_ids), "forget_at": forget_at})
        await session.execute(FORGET, {"now": now})


class EndedLogins:
    """One process's copy of the list."""

    def __init__(self, sessions: Sessions, *, refresh_seconds: float = REFRESH_SECONDS) -> None:
        self.sessions, self.refresh_seconds = sessions, refresh_seconds
        self._ended: frozenset[UUID] = frozenset()
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    async def require_alive(self, principal: Principal) -> None:
        """Raises InvalidToken for a login that has ended."""
        if time.monotonic() - self._read_at >= self.refresh_seconds:
            await self._read()
        if principal.session_id in self._ended:
            raise InvalidToken("the login has ended")

    async def _read(self) -> None:
        async with self._reading:
            if time.monotonic() - self._read_at < self.refresh_seconds:
                return
            async with transaction(self.sessions) as session:
                self._ended = frozenset((await session.scalars(LIST)).all())
            self._read_at = time.monotonic()
