"""The free tier's monthly credits: at sign-up, and each month while no plan is paid.

Months count from the opening of the account. A month is granted once, whenever it is asked for:
who leaves a plan gets the free month of that moment, and nobody gets one twice.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.credits.ledger import grant_credits, open_account
from libs.credits.months import month_around
from libs.credits.pricing import MILLI
from libs.kernel.ids import new_id
from libs.tiers.catalogue import DEFAULT_TIER, load_catalogue

OPENED = text("SELECT opened_at FROM credits.accounts WHERE user_id = :user")
DUE = text(
    "SELECT user_id FROM credits.accounts WHERE next_free_at <= :now ORDER BY next_free_at"
    " LIMIT :limit"
)
SCHEDULE = text("SELECT credits.schedule_free_month(:user, :at)")


async def open_account_with_a_free_month(
    session: AsyncSession, *, user_id: UUID, now: datetime
) -> None:
    """What every sign-up gets. The session's tenant is the user."""
    await open_account(session, user_id=user_id, now=now)
    await grant_month(session, user_id, opened_at=now, now=now)


async def grant_free_month(session: AsyncSession, *, user_id: UUID, now: datetime) -> bool:
    """Grant the month around `now` and schedule the next. False: granted before, or no account."""
    opened_at = await session.scalar(OPENED, {"user": user_id})
    if opened_at is None:
        return False
    return await grant_month(session, user_id, opened_at=opened_at, now=now)


async def grant_month(
    session: AsyncSession, user_id: UUID, *, opened_at: datetime, now: datetime
) -> bool:
    """Grant the month of an account opened at `opened_at`, once."""
    begin, end = month_around(opened_at, now)
    granted = await grant_credits(
        session,
        user_id=user_id,
        grant_id=new_id(),
        key=f"free:{user_id}:{begin:%Y-%m-%d}",
        kind="free",
        amount=load_catalogue().tier(DEFAULT_TIER).credits_month * MILLI,
        expires_at=end,
        now=now,
    )
    await session.execute(SCHEDULE, {"user": user_id, "at": end})
    return granted


async def users_due_for_a_free_month(
    session: AsyncSession, *, now: datetime, limit: int
) -> Sequence[UUID]:
    """Users whose next free month has begun, longest due first; needs the billing role."""
    return list(await session.scalars(DUE, {"now": now, "limit": limit}))


async def pause_free_months(session: AsyncSession, *, user_id: UUID) -> None:
    """No free month is due while a plan is paid."""
    await session.execute(SCHEDULE, {"user": user_id, "at": None})


async def resume_free_months(session: AsyncSession, *, user_id: UUID, now: datetime) -> None:
    """The month around `now` is due again: the next round grants it to who is still free then."""
    await session.execute(SCHEDULE, {"user": user_id, "at": now})
