"""The database is away: how that is told from a mistake, and work that outlasts it."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from socket import gaierror
from typing import TypeVar

import asyncpg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

T = TypeVar("T")
UNREACHABLE = (ConnectionError, TimeoutError, gaierror)
AWAY = (OperationalError, InterfaceError, PoolTimeout, asyncpg.InterfaceError, *UNREACHABLE)
# PostgreSQL's classes "connection", "insufficient resources" and "operator intervention" (a
# timeout, a shutdown), and the two failures that a repetition cures.
AWAY_SQLSTATES = ("08", "53", "57", "40001", "40P01")
PAUSE_SECONDS = 0.5


def is_away(error: Exception) -> bool:
    """Whether a part did not answer. Of asyncpg's errors SQLAlchemy makes bare `DBAPIError`s."""
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    sqlstate = getattr(getattr(error, "orig", error), "sqlstate", None) or ""
    return sqlstate.startswith(AWAY_SQLSTATES) or isinstance(error, AWAY)


async def outlast(work: Callable[[], Awaitable[T]], *, seconds: float) -> T:
    """Do a transaction's work, again and again for so long while the database is away.

    It must be safe to repeat: a commit may have happened although its answer was lost. Raises what
    the work raises, once the time is over or for any other reason.
    """
    ends = time.monotonic() + seconds
    while True:
        try:
            return await work()
        except Exception as error:
            if not is_away(error) or time.monotonic() >= ends:
                raise
        await asyncio.sleep(PAUSE_SECONDS)
