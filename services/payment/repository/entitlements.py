"""The tier of a user, which this service alone writes."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from libs.tiers.catalogue import TierName

PUT = text(
    """
    INSERT INTO ops.entitlements (user_id, tier, updated_at) VALUES (:user, :tier, :now)
    ON CONFLICT (user_id) DO UPDATE SET tier = excluded.tier, updated_at = excluded.updated_at
    """
)


async def put_tier(session: AsyncSession, user_id: UUID, tier: TierName, now: datetime) -> None:
    """What every service reads from its next request on."""
    await session.execute(PUT, {"user": user_id, "tier": tier, "now": now})
