"""The door for whoever changes a user's tier: what waits is weighed anew."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.jobs.outbox import add_task

REWEIGH = "generation.reweigh"
UPKEEP_QUEUE = "generation"  # every worker takes from it, whatever its GPU pools


async def announce_tier_change(session: AsyncSession, user_id: UUID) -> None:
    """After the commit, give the user's waiting jobs the tier that the user has then.

    It may be said twice, late, or for a tier that did not change.
    """
    await add_task(session, REWEIGH, queue=UPKEEP_QUEUE, user_id=str(user_id))
