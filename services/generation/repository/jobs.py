"""Queries of the API: inside a tenant's transaction, row security shows only the tenant's jobs."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from libs.db.pages import newest_first
from libs.tiers.catalogue import Tier
from services.generation.models import Job, JobState
from services.generation.waiting import Outlook

OUTLOOK = text("SELECT * FROM generation.queue_outlook(:pool)")
LOCK_ADMISSION = text("SELECT pg_advisory_xact_lock(hashtextextended('admission/' || :user_id, 0))")


async def lock_admission(session: AsyncSession, user_id: UUID) -> None:
    """Let one request of a user be admitted at a time, so that limits hold under concurrency."""
    await session.execute(LOCK_ADMISSION, {"user_id": str(user_id)})


async def read_outlook(session: AsyncSession, pool: str) -> Outlook:
    """Numbers of a pool's whole queue."""
    row = (await session.execute(OUTLOOK, {"pool": pool})).one()
    return Outlook(
        row.waiting, int(row.waiting_millicredits), row.running, row.p50_speed, row.p90_speed
    )


async def find_job(session: AsyncSession, job_id: UUID) -> Job | None:
    """One of the tenant's jobs."""
    return await session.get(Job, job_id)


async def lock_job(session: AsyncSession, job_id: UUID) -> Job | None:
    """One of the tenant's jobs, locked until the transaction ends."""
    return await session.scalar(select(Job).where(Job.id == job_id).with_for_update())


async def reweigh_queued(session: AsyncSession, user_id: UUID, tier: Tier) -> int:
    """Put the user's queued jobs of another tier under this one; how many there were."""
    other = or_(Job.tier != tier.name, Job.pool != tier.gpu_pool)
    statement = (
        update(Job)
        .where(Job.user_id == user_id, Job.state == "queued", other)
        .values(tier=tier.name, pool=tier.gpu_pool)
        .returning(Job.id)
    )
    return len((await session.execute(statement)).all())


async def list_jobs(
    session: AsyncSession,
    *,
    limit: int,
    before: UUID | None,
    state: JobState | None,
    model: str | None,
) -> Sequence[Job]:
    """Up to `limit + 1` of the tenant's jobs, newest first."""
    query = newest_first(select(Job), Job.id, limit=limit, before=before)
    if state is not None:
        query = query.where(Job.state == state)
    if model is not None:
        query = query.where(Job.model == model)
    return (await session.scalars(query)).all()
