"""What the payment service reads of the ledger; only the ledger's functions write it."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncSession

ACCOUNT = text("SELECT available, held FROM credits.accounts WHERE user_id = :user_id")
OPEN_GRANTS = text(
    """
    SELECT id, kind, amount, remaining, expires_at, created_at FROM credits.grants
    WHERE user_id = :user_id AND remaining > 0
    ORDER BY expires_at NULLS LAST, created_at, id
    """
)
TRANSFERS = text(
    """
    SELECT id, kind, debit, credit, amount, reference, created_at FROM credits.transfers
    WHERE user_id = :user_id AND (CAST(:before AS bigint) IS NULL OR id < :before)
    ORDER BY id DESC LIMIT :rows
    """
)


async def read_account(session: AsyncSession, user_id: UUID) -> tuple[int, int]:
    """Available and held milli-credits; nothing was ever granted: zero."""
    row = (await session.execute(ACCOUNT, {"user_id": user_id})).one_or_none()
    return (row.available, row.held) if row else (0, 0)


async def open_grants(session: AsyncSession, user_id: UUID) -> Sequence[Row[Any]]:
    """Grants with something left, in the order in which they are spent."""
    return (await session.execute(OPEN_GRANTS, {"user_id": user_id})).all()


async def list_transfers(
    session: AsyncSession, user_id: UUID, *, limit: int, before: int | None
) -> Sequence[Row[Any]]:
    """Up to `limit + 1` transfers, newest first."""
    values = {"user_id": user_id, "before": before, "rows": limit + 1}
    return (await session.execute(TRANSFERS, values)).all()
