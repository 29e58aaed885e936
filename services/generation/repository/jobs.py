"""Queries of the API: inside a tenant's transaction, row security shows only the tenant's jobs."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from libs.db.pages import newest_first
from libs.tiers.catalogue import Tier
from services.generation.models import Job, JobState
from services.generation.own_work import OwnJob, OwnJobs

RUNNING = text(
    "SELECT count(*) AS jobs, coalesce(sum(quoted_millicredits), 0)::bigint AS cost"
    " FROM generation.jobs WHERE user_id = :user_id AND state = 'running'"
)
LEADS = text(
    """
    SELECT f.tier, greatest(0, f.tag - coalesce(c.virtual_time, 0)) AS lead
    FROM generation.flows f LEFT JOIN generation.tier_clocks c USING (pool, tier)
    WHERE f.user_id = :user_id
    """
)
LOCK_ADMISSION = text("SELECT pg_advisory_xact_lock(hashtextextended('admission/' || :user_id, 0))")


async def lock_admission(session: AsyncSession, user_id: UUID) -> None:
    """Let one request of a user be admitted at a time, so that limits hold under concurrency."""
    await session.execute(LOCK_ADMISSION, {"user_id": str(user_id)})


async def read_own_jobs(session: AsyncSession, user_id: UUID) -> OwnJobs:
    """What the tenant has waiting and in flight."""
    columns = (Job.id, Job.tier, Job.pool, Job.model, Job.quoted_millicredits, Job.created_at)
    waiting = await session.execute(
        select(*columns).where(Job.user_id == user_id, Job.state == "queued").order_by(Job.id)
    )
    running = (await session.execute(RUNNING, {"user_id": user_id})).one()
    leads = await session.execute(LEADS, {"user_id": user_id})
    return OwnJobs(
        [OwnJob(*row) for row in waiting],
        running.jobs,
        running.cost,
        {row.tier: row.lead for row in leads},
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
