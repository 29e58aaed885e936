"""The audit of the ledger: questions that must all have no answer."""

from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

OUT_OF_BALANCE = text(
    """
    WITH sums AS (
        SELECT user_id,
            coalesce(sum(amount) FILTER (WHERE credit = 'available'), 0)
                - coalesce(sum(amount) FILTER (WHERE debit = 'available'), 0) AS available,
            coalesce(sum(amount) FILTER (WHERE credit = 'held'), 0)
                - coalesce(sum(amount) FILTER (WHERE debit = 'held'), 0) AS held,
            coalesce(sum(amount) FILTER (WHERE credit = 'revenue'), 0) AS spent
        FROM credits.transfers GROUP BY user_id
    ), open_holds AS (
        SELECT user_id, sum(amount) AS held FROM credits.holds
        WHERE settled_at IS NULL GROUP BY user_id
    ), burned AS (
        SELECT user_id, sum(amount - remaining) AS spent FROM credits.grants GROUP BY user_id
    )
    SELECT coalesce(a.user_id, s.user_id) AS user_id
    FROM credits.accounts a
    FULL JOIN sums s ON s.user_id = a.user_id
    LEFT JOIN open_holds h ON h.user_id = a.user_id
    LEFT JOIN burned b ON b.user_id = a.user_id
    WHERE a.available IS DISTINCT FROM s.available
        OR a.held IS DISTINCT FROM s.held
        OR a.held IS DISTINCT FROM coalesce(h.held, 0)
        OR s.spent IS DISTINCT FROM coalesce(b.spent, 0)
    """
)


async def accounts_out_of_balance(session: AsyncSession) -> list[UUID]:
    """Users whose balance differs from their transfers, open holds or burned grants.

    Sees what the session's row security shows: one tenant, or everybody for a database owner
    that bypasses it.
    """
    return list(await session.scalars(OUT_OF_BALANCE))
