"""Grants of subscriptions and orders as the ledger knows them; only its functions write them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from services.payment.grants import KnownGrant

# A grant's own id is the reference of what its end took back.
KNOWN = text(
    """
    SELECT g.key, g.ending, coalesce(t.amount, 0) AS taken_by_its_end
    FROM credits.grants g LEFT JOIN credits.transfers t ON t.reference = g.id
        AND t.grant_id = g.id AND t.kind IN ('expire', 'reverse')
    WHERE g.user_id = :user AND g.kind = ANY(:kinds)
        AND (g.ended_at IS NULL OR g.expires_at IS NULL OR g.expires_at > :now)
    ORDER BY g.created_at, g.id
    """
)
ASKED = text("SELECT asked FROM billing.take_backs WHERE grant_key = :key AND source = :source")
ASK = text(
    """
    INSERT INTO billing.take_backs (grant_key, source, user_id, asked)
    VALUES (:key, :source, :user, :asked)
    ON CONFLICT (grant_key, source) DO UPDATE SET asked = excluded.asked
    """
)
EXPIRED_GRANTS = text(
    "SELECT DISTINCT user_id FROM credits.grants WHERE ended_at IS NULL AND expires_at <= :now"
    " LIMIT :limit"
)
EXPIRED_HOLDS = text(
    "SELECT DISTINCT user_id FROM credits.holds WHERE expires_at <= :now LIMIT :limit"
)


async def known_grants(
    session: AsyncSession, user_id: UUID, kinds: Sequence[str], now: datetime
) -> Sequence[KnownGrant]:
    """The user's grants of some kinds that live, or that ended before their time."""
    values = {"user": user_id, "kinds": list(kinds), "now": now}
    rows = await session.execute(KNOWN, values)
    return [KnownGrant(row.key, row.ending, row.taken_by_its_end) for row in rows]


async def asked_back(session: AsyncSession, key: str, source: str) -> int:
    """Milli-credits of a grant that a refund has asked back so far."""
    return int(await session.scalar(ASKED, {"key": key, "source": source}) or 0)


async def ask_back(session: AsyncSession, user_id: UUID, key: str, source: str, asked: int) -> None:
    """Remember how much a refund has asked back in all."""
    values = {"user": user_id, "key": key, "source": source, "asked": asked}
    await session.execute(ASK, values)


async def users_with_expired_grants(
    session: AsyncSession, now: datetime, limit: int
) -> Sequence[UUID]:
    """Users some of whose credits have passed their end."""
    return list(await session.scalars(EXPIRED_GRANTS, {"now": now, "limit": limit}))


async def users_with_expired_holds(
    session: AsyncSession, now: datetime, limit: int
) -> Sequence[UUID]:
    """Users some of whose holds nobody settled in time."""
    return list(await session.scalars(EXPIRED_HOLDS, {"now": now, "limit": limit}))
