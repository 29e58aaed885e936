"""One transaction, opened at the edge, committed before the answer leaves.

The tenant is set inside the transaction (`is_local => true`), never on the connection: a pooled
connection that goes back carries nobody's identity.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.db.engine import Sessions

SET_TENANT = text("SELECT set_config('app.user_id', :user_id, true)")


async def set_tenant(session: AsyncSession, user_id: UUID) -> None:
    """Make row security show this user's rows for the rest of the transaction."""
    await session.execute(SET_TENANT, {"user_id": str(user_id)})


@asynccontextmanager
async def transaction(
    sessions: Sessions, user_id: UUID | None = None
) -> AsyncIterator[AsyncSession]:
    """Begin, hand out the session, commit; roll back if the body raises.

    Without `user_id` no tenant's rows are visible, except to roles with a policy of their own.
    """
    async with sessions.begin() as session:
        if user_id is not None:
            await set_tenant(session, user_id)
        yield session


async def check_database(sessions: Sessions) -> None:
    """Readiness: raises if the database does not answer."""
    async with sessions() as session:
        await session.execute(text("SELECT 1"))
