"""What customers see of their own billing; row security shows them nobody else's."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from sqlalchemy import BigInteger, cast, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from services.payment.models import Invoice, Order, Subscription

Purchase = TypeVar("Purchase", Invoice, Order)
HAD_TRIAL = text(
    "SELECT EXISTS (SELECT FROM credits.grants WHERE user_id = :user AND kind = 'trial')"
)
NEXT_FREE = text("SELECT next_free_at FROM credits.accounts WHERE user_id = :user")


async def list_subscriptions(session: AsyncSession, user_id: UUID) -> Sequence[Subscription]:
    """All that the user ever had."""
    query = select(Subscription).where(Subscription.user_id == user_id)
    return (await session.scalars(query)).all()


async def list_purchases(
    session: AsyncSession,
    table: type[Purchase],
    user_id: UUID,
    *,
    limit: int,
    before: int | None,
) -> Sequence[Purchase]:
    """Up to `limit + 1` invoices or orders, newest first: the provider counts their ids."""
    number = cast(table.provider_id, BigInteger)
    query = select(table).where(table.user_id == user_id)
    if before is not None:
        query = query.where(number < before)
    return (await session.scalars(query.order_by(number.desc()).limit(limit + 1))).all()


async def had_trial(session: AsyncSession, user_id: UUID) -> bool:
    """Whether a trial has given the user credits; there is one a user."""
    return bool(await session.scalar(HAD_TRIAL, {"user": user_id}))


async def next_free_month(session: AsyncSession, user_id: UUID) -> datetime | None:
    """When the next free credits come; None on a paid plan."""
    moment: datetime | None = await session.scalar(NEXT_FREE, {"user": user_id})
    return moment
