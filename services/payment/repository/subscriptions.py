"""States of subscriptions: the set of all that were observed, and the row that shows the newest."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import CursorResult, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from libs.kernel.ids import new_id
from services.payment.current import RENEWING
from services.payment.lifecycle import Standing
from services.payment.models import ObservedState, Subscription, SubscriptionState

STATE_COLUMNS = tuple(SubscriptionState.__annotations__)


async def add_observation(session: AsyncSession, values: dict[str, Any]) -> bool:
    """Add a state to the set; False if it was seen before."""
    statement = insert(ObservedState).values(values).on_conflict_do_nothing()
    result = cast(CursorResult[Any], await session.execute(statement))
    return result.rowcount == 1


async def list_observations(session: AsyncSession, user_id: UUID) -> Sequence[ObservedState]:
    """Every state of the user's subscriptions that was ever seen."""
    query = select(ObservedState).where(ObservedState.user_id == user_id)
    return (await session.scalars(query)).all()


async def put_subscription(
    session: AsyncSession, newest: ObservedState, standing: Standing
) -> None:
    """Show the newest state and what follows from all of them."""
    values = {
        **{column: getattr(newest, column) for column in STATE_COLUMNS},
        "entitled_tier": standing.tier,
        "past_due_since": standing.past_due_since,
        "due_at": standing.due_at,
    }
    statement = insert(Subscription).values(id=new_id(), provider_id=newest.provider_id, **values)
    await session.execute(
        statement.on_conflict_do_update(index_elements=[Subscription.provider_id], set_=values)
    )


async def users_due(session: AsyncSession, now: datetime, limit: int) -> Sequence[UUID]:
    """Users of whom what a subscription gives changes by itself now, the longest due first."""
    query = (
        select(Subscription.user_id)
        .where(Subscription.due_at <= now)
        .order_by(Subscription.due_at)
        .limit(limit)
    )
    return list(dict.fromkeys(await session.scalars(query)))


async def users_charged_twice(session: AsyncSession) -> Sequence[UUID]:
    """Users of whom more than one subscription renews."""
    query = (
        select(Subscription.user_id)
        .where(Subscription.status.in_(RENEWING))
        .group_by(Subscription.user_id)
        .having(func.count() > 1)
    )
    return (await session.scalars(query)).all()


async def list_renewing(session: AsyncSession, user_id: UUID) -> Sequence[Subscription]:
    """The user's subscriptions that renew, the oldest first."""
    query = (
        select(Subscription)
        .where(Subscription.user_id == user_id, Subscription.status.in_(RENEWING))
        .order_by(Subscription.provider_created_at, Subscription.provider_id)
    )
    return (await session.scalars(query)).all()
