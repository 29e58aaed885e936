"""Whose something is, and the lock under which one user's billing is changed."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

ENTER = text(
    """
    SELECT set_config('app.user_id', :user, true),
        pg_advisory_xact_lock(hashtextextended('billing/' || :user, 0))
    """
)
HAS_ACCOUNT = text("SELECT EXISTS (SELECT FROM credits.accounts WHERE user_id = :user)")
IS_CUSTOMER = text(
    "SELECT EXISTS (SELECT FROM credits.accounts WHERE user_id = :user AND closed_at IS NULL)"
)
OF_SUBSCRIPTION = text(
    "SELECT user_id FROM billing.subscriptions WHERE provider_id = :subscription"
)
OF_ORDER = text("SELECT user_id FROM billing.orders WHERE provider_id = :order")
OF_CUSTOMER = text(
    """
    SELECT user_id FROM billing.subscriptions WHERE customer_id = :customer
    UNION SELECT user_id FROM billing.orders WHERE customer_id = :customer
    """
)


async def enter_user(session: AsyncSession, user_id: UUID) -> None:
    """Make the user the transaction's tenant, and wait until nobody else changes their billing."""
    await session.execute(ENTER, {"user": str(user_id)})


async def has_account(session: AsyncSession, user_id: UUID) -> bool:
    """Whether there is such a user, or was: what is told of an erased one has a place."""
    return bool(await session.scalar(HAS_ACCOUNT, {"user": user_id}))


async def is_customer(session: AsyncSession, user_id: UUID) -> bool:
    """Whether there is such a user now."""
    return bool(await session.scalar(IS_CUSTOMER, {"user": user_id}))


async def owner_of_subscription(session: AsyncSession, subscription: str) -> UUID | None:
    """The user of a subscription of which something was told before."""
    owner: UUID | None = await session.scalar(OF_SUBSCRIPTION, {"subscription": subscription})
    return owner


async def owner_of_order(session: AsyncSession, order: str) -> UUID | None:
    """The user of an order of which something was told before."""
    owner: UUID | None = await session.scalar(OF_ORDER, {"order": order})
    return owner


async def owner_of_customer(session: AsyncSession, customer: str) -> UUID | None:
    """The user who is the provider's customer; None if nobody is, or if several are."""
    owners: list[UUID] = list(await session.scalars(OF_CUSTOMER, {"customer": customer}))
    return owners[0] if len(owners) == 1 else None
