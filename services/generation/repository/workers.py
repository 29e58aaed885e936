"""Queries of presence: which workers serve which pools, with how many slots."""

from collections.abc import Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

PRESENT_SECONDS = 15  # who has said nothing for longer is not counted
SAY_PRESENT = text(
    """
    INSERT INTO generation.workers (name, pools, slots, models)
    VALUES (:name, :pools, :slots, :models)
    ON CONFLICT (name) DO UPDATE
    SET models = excluded.models, slots = excluded.slots, seen_at = now()
    """
)
SAY_GONE = text("DELETE FROM generation.workers WHERE name = :name")
FORGET_GONE = text("DELETE FROM generation.workers WHERE seen_at < now() - interval '1 hour'")


async def say_present(
    session: AsyncSession, name: str, *, pools: Sequence[str], slots: int, models: Sequence[str]
) -> None:
    """A worker is there now, and can run so many jobs at once."""
    values = {"name": name, "pools": list(pools), "slots": slots, "models": list(models)}
    await session.execute(SAY_PRESENT, values)


async def say_gone(session: AsyncSession, name: str) -> None:
    """A worker has ended."""
    await session.execute(SAY_GONE, {"name": name})


async def forget_gone(session: AsyncSession) -> None:
    """Delete the workers that nobody has heard of for an hour."""
    await session.execute(FORGET_GONE)
