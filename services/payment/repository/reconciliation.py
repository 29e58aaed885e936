"""When the provider was last compared with us, and when it is next."""

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

CLAIM = text(
    "UPDATE billing.reconciliation SET next_at = :free_again WHERE next_at <= :now RETURNING true"
)
FINISH = text(
    """
    UPDATE billing.reconciliation
    SET next_at = :next_at, finished_at = :now, compared = :compared, repaired = :repaired
    """
)
LAST_FINISHED = text("SELECT finished_at FROM billing.reconciliation")


async def claim(session: AsyncSession, now: datetime, free_again: datetime) -> bool:
    """Take the task if it is due; who dies over it leaves it due again at `free_again`."""
    values = {"now": now, "free_again": free_again}
    return bool(await session.scalar(CLAIM, values))


async def finish(
    session: AsyncSession, now: datetime, next_at: datetime, *, compared: int, repaired: int
) -> None:
    """Write how it went and when it is due again."""
    values = {"now": now, "next_at": next_at, "compared": compared, "repaired": repaired}
    await session.execute(FINISH, values)


async def last_finished(session: AsyncSession) -> datetime | None:
    """When everything was last compared."""
    finished_at: datetime | None = await session.scalar(LAST_FINISHED)
    return finished_at
