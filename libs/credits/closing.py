"""The end of an account: what is left of its credits ends; every posting stays, and adds up."""

from datetime import datetime
from typing import Literal, cast
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

Closing = Literal["closed", "known", "held", "unknown"]
CLOSE = text("SELECT credits.close_account(:user, :now)")
IS_CLOSED = text(
    "SELECT EXISTS (SELECT FROM credits.accounts WHERE user_id = :user AND closed_at IS NOT NULL)"
)


async def close_account(
    session: AsyncSession, *, user_id: UUID, now: datetime | None = None
) -> Closing:
    """End every grant, the free months and the spend caps of the tenant.

    `known`: it was closed before, and what came since has ended too. `held`: jobs have credits set
    aside, and nothing was done. `unknown`: there is no such account.
    """
    outcome = await session.scalar(CLOSE, {"user": user_id, "now": now})
    return cast(Closing, outcome)


async def is_closed(session: AsyncSession, user_id: UUID) -> bool:
    """Whether the user was erased; for the tenant or the billing role."""
    return bool(await session.scalar(IS_CLOSED, {"user": user_id}))
