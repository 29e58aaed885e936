"""How much the tenant uses: each owner answers one question, of the tenant alone."""

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

READ = text(
    """
    SELECT b.available, b.held, u.waiting, u.running, u.created_in_an_hour,
        gallery.stored_bytes_of_tenant() AS stored_bytes
    FROM credits.balance_of_tenant() b, generation.usage_of_tenant() u
    """
)


@dataclass(frozen=True)
class TenantUsage:
    """Credits in milli-credits; the last hour's creations count, whatever became of them."""

    available: int
    held: int
    waiting: int
    running: int
    created_in_an_hour: int
    stored_bytes: int


async def read_usage(session: AsyncSession) -> TenantUsage:
    """What the tenant uses at this moment."""
    return TenantUsage(**(await session.execute(READ)).mappings().one())
