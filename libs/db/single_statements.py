"""A pool for work that is one statement: no ORM, no BEGIN and COMMIT, one round trip.

The statement is its own transaction. It calls a function that sets the tenant first, as every
transaction does, and for that transaction alone. For routes whose CPU counts; all else uses
`libs.db.transaction`.
"""

import asyncio
from typing import Any, TypeAlias

import asyncpg

from libs.db.engine import SERVER_SETTINGS

CONNECT_SECONDS = 5.0
WAIT_SECONDS = 10.0
STATEMENT_SECONDS = 15.0
POOL_SIZE = 10
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


class Connection(asyncpg.Connection):
    """A connection that needs no cleaning between users: nothing outlives a statement."""

    def get_reset_query(self) -> str:
        """None: a reset would be a second round trip."""
        return ""


class SingleStatements:
    """Runs statements on connections of its own; connects when it is first asked."""

    def __init__(self, url: str, *, application: str, pool_size: int = POOL_SIZE) -> None:
        self.url, self.application, self.pool_size = url, application, pool_size
        self._pool: Pool | None = None
        self._opening = asyncio.Lock()

    async def fetch_row(self, statement: str, *values: Any) -> asyncpg.Record:
        """The one row that a statement answers. Raises what asyncpg raises; TimeoutError."""
        pool = self._pool or await self._open()
        connection = await pool.acquire(timeout=WAIT_SECONDS)
        try:
            row = await connection.fetchrow(statement, *values)
        finally:
            await pool.release(connection)
        if row is None:
            raise LookupError("the statement answered no row")
        return row

    async def _open(self) -> Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self.url.replace("+asyncpg", ""),
                    min_size=0,
                    max_size=self.pool_size,
                    timeout=CONNECT_SECONDS,
                    command_timeout=STATEMENT_SECONDS,
                    connection_class=Connection,
                    server_settings={"application_name": self.application, **SERVER_SETTINGS},
                )
            return self._pool

    async def close(self) -> None:
        """Close all connections."""
        if self._pool is not None:
            await self._pool.close()
