"""A user's tier has changed: what waits is served by the new tier's weight, in its pool."""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from libs.jobs.celery_app import queue_of_pool
from libs.jobs.outbox import add_task
from libs.tiers.entitlements import tier_of
from services.generation.repository import jobs
from services.generation.wake_ups import WAKE_UP


async def reweigh_jobs(session: AsyncSession, user_id: UUID) -> int:
    """Give the tenant's waiting jobs the user's tier of now; how many had another.

    The admission lock orders this against requests that still saw the old tier: they have
    committed, or they will see the new one. As many workers are woken as may run for the user.
    """
    await jobs.lock_admission(session, user_id)
    tier = await tier_of(session, user_id)
    changed = await jobs.reweigh_queued(session, user_id, tier)
    for _ in range(min(changed, tier.running_jobs)):
        await add_task(session, WAKE_UP, queue=queue_of_pool(tier.gpu_pool))
    return changed
