"""Which tier a user has now. Written by the payment service, read inside any tenant transaction."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.tiers.catalogue import DEFAULT_TIER, Tier, load_catalogue

FIND = text("SELECT tier FROM ops.entitlements WHERE user_id = :user_id")


async def tier_of(session: AsyncSession, user_id: UUID) -> Tier:
    """The user's tier; who has no entitlement is on the free tier."""
    name = await session.scalar(FIND, {"user_id": user_id})
    return load_catalogue().tier(name or DEFAULT_TIER)
