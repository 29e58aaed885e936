"""What the payment service reads of the ledger; only the ledger's functions write it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

BALANCE = text("SELECT available, held FROM credits.balances WHERE user_id = :user_id")
OPEN_GRANTS = text(
    """
    SELECT id, key, kind, amount, remaining, expires_at, created_at FROM credits.open_grants
    WHERE user_id = :user_id AND remaining > 0 AND (expires_at IS NULL OR expires_at > now())
    ORDER BY expires_at NULLS LAST, created_at, id
    """
)
TRANSFERS = text(
    """
    SELECT id, kind, amount, reference, grant_id, model, key_id, created_at FROM credits.transfers
    WHERE user_id = :user_id AND (CAST(:before AS bigint) IS NULL OR id < :before)
    ORDER BY id DESC LIMIT :rows
    """
)
LOCK_CAPS = text("SELECT pg_advisory_xact_lock(hashtextextended('spend-caps/' || :user, 0))")
# group -> what is grouped, and in which order it is shown
GROUPS = {
    "day": ("to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')", "1"),
    "model": ("model", "captured DESC, 1"),
    "key": ("CAST(key_id AS text)", "captured DESC, 1"),
}
USAGE = {
    group: text(
        f"""
        SELECT {expression} AS "group", count(DISTINCT reference) AS generations,
            CAST(sum(amount) AS bigint) AS captured
        FROM credits.transfers
        WHERE user_id = :user_id AND kind = 'capture'
            AND created_at >= :start AND created_at < :end
        GROUP BY 1 ORDER BY {order}
        """
    )
    for group, (expression, order) in GROUPS.items()
}


async def lock_caps(session: AsyncSession, user_id: UUID) -> None:
    """Let nobody else change the user's spend caps until the transaction ends."""
    await session.execute(LOCK_CAPS, {"user": str(user_id)})


async def read_balance(session: AsyncSession, user_id: UUID) -> tuple[int, int]:
    """Available and held milli-credits; nothing was ever granted: zero."""
    row = (await session.execute(BALANCE, {"user_id": user_id})).one_or_none()
    return (row.available, row.held) if row else (0, 0)


async def open_grants(session: AsyncSession, user_id: UUID) -> Sequence[Row[Any]]:
    """Grants with something left to spend, in the order in which they are spent."""
    return (await session.execute(OPEN_GRANTS, {"user_id": user_id})).all()


async def list_transfers(
    session: AsyncSession, user_id: UUID, *, limit: int, before: int | None
) -> Sequence[Row[Any]]:
    """Up to `limit + 1` transfers, newest first."""
    values = {"user_id": user_id, "before": before, "rows": limit + 1}
    return (await session.execute(TRANSFERS, values)).all()


async def read_usage(
    session: AsyncSession, user_id: UUID, *, group_by: str, start: datetime, end: datetime
) -> Sequence[Row[Any]]:
    """Captures from `start` up to `end`, by day, model or key."""
    values = {"user_id": user_id, "start": start, "end": end}
    return (await session.execute(USAGE[group_by], values)).all()
